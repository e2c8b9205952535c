def prepare(seed, count):
    pass
