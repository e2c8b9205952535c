# SPDX-License-Identifier: ISC
# The names in wrapped.def, as the linker's options.
/^WRAP\(/ {
	split($0, field, ", ")
	print "-Wl,--wrap=" field[3]
}
/^WRAP_BY_HAND\(/ {
	gsub(/^WRAP_BY_HAND\(|\)$/, "")
	print "-Wl,--wrap=" $0
}
