/* SPDX-License-Identifier: ISC */
/*
 * See remote_key.h, and provider-keymgmt(7) and provider-signature(7) for what
 * libcrypto asks of us.  What is public about a key is answered by the default
 * provider's own copy of its public half.
 */
#include "master/intake/tls/remote_key.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define REMOTE_KEY_PROPERTY "provider=postern"
#define REMOTE_KEY_NUMBER   "postern-key-number"

/* What libcrypto calls by these types, it takes as functions without arguments. */
#define FUNCTION(f) (void (*)(void))(f)

struct remote_key {
	EVP_PKEY *public_half;
	const char *type;
	uint32_t number;
};

/* A signature that is being made. */
struct signing {
	const struct remote_key *key; /* libcrypto holds it meanwhile */
	unsigned hash_bits;
	bool pss; /* of RSA; libcrypto says so where it is not PKCS #1 v1.5 */
};

static remote_key_sign_fn ask;
static void *ask_ctx;

/* Keys. */

static struct remote_key *
key_new(const char *type)
{
	struct remote_key *key = calloc(1, sizeof(*key));

	if (key != NULL)
		key->type = type;
	return key;
}

static void *
key_new_rsa(void *provider)
{
	(void)provider;
	return key_new("RSA");
}

static void *
key_new_ec(void *provider)
{
	(void)provider;
	return key_new("EC");
}

static void *
key_new_ed25519(void *provider)
{
	(void)provider;
	return key_new("ED25519");
}

static void
key_free(void *data)
{
	struct remote_key *key = data;

	if (key == NULL)
		return;
	EVP_PKEY_free(key->public_half);
	free(key);
}

static int
key_has(const void *data, int selection)
{
	const struct remote_key *key = data;

	(void)selection; /* the private half too: elsewhere */
	return key->public_half != NULL;
}

static int
key_match(const void *a, const void *b, int selection)
{
	const struct remote_key *left = a, *right = b;

	(void)selection;
	return EVP_PKEY_eq(left->public_half, right->public_half) == 1;
}

static int
key_import(void *data, int selection, const OSSL_PARAM params[])
{
	struct remote_key *key = data;
	const OSSL_PARAM *number;
	EVP_PKEY_CTX *ctx;
	int ok;

	(void)selection;
	number = OSSL_PARAM_locate_const(params, REMOTE_KEY_NUMBER);
	if (number != NULL && OSSL_PARAM_get_uint32(number, &key->number) != 1)
		return 0;
	ctx = EVP_PKEY_CTX_new_from_name(NULL, key->type, "provider=default");
	/* It copies what it takes, whatever its type says. */
	ok = ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &key->public_half, EVP_PKEY_PUBLIC_KEY,
		(OSSL_PARAM *)(uintptr_t)params) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok;
}

static const OSSL_PARAM *
key_import_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_uint32(REMOTE_KEY_NUMBER, NULL),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)selection;
	return types;
}

static int
key_get_params(void *data, OSSL_PARAM params[])
{
	const struct remote_key *key = data;

	return EVP_PKEY_get_params(key->public_half, params);
}

static const OSSL_PARAM *
key_gettable_params(void *provider)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provider;
	return types;
}

static const char *
key_operation_rsa(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL;
}

static const char *
key_operation_ec(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

static const char *
key_operation_ed25519(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ED25519" : NULL;
}

/* Without EXPORT: nobody else can sign with what is here. */
#define KEY_FUNCTIONS(name)                                                    \
	static const OSSL_DISPATCH key_##name[] = {                            \
		{ OSSL_FUNC_KEYMGMT_NEW, FUNCTION(key_new_##name) },           \
		{ OSSL_FUNC_KEYMGMT_FREE, FUNCTION(key_free) },                \
		{ OSSL_FUNC_KEYMGMT_HAS, FUNCTION(key_has) },                  \
		{ OSSL_FUNC_KEYMGMT_MATCH, FUNCTION(key_match) },              \
		{ OSSL_FUNC_KEYMGMT_IMPORT, FUNCTION(key_import) },            \
		{ OSSL_FUNC_KEYMGMT_IMPORT_TYPES,                              \
		    FUNCTION(key_import_types) },                              \
		{ OSSL_FUNC_KEYMGMT_GET_PARAMS, FUNCTION(key_get_params) },    \
		{ OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS,                           \
		    FUNCTION(key_gettable_params) },                           \
		{ OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME,                      \
		    FUNCTION(key_operation_##name) },                          \
		{ 0, NULL },                                                   \
	}

KEY_FUNCTIONS(rsa);
KEY_FUNCTIONS(ec);
KEY_FUNCTIONS(ed25519);

/* Signatures. */

static void *
signing_new(void *provider, const char *properties)
{
	(void)provider;
	(void)properties;
	return calloc(1, sizeof(struct signing));
}

static void
signing_free(void *data)
{
	free(data);
}

static int
signing_begin(void *data, const char *hash, void *key,
    const OSSL_PARAM params[])
{
	static const struct {
		const char *name;
		unsigned bits;
	} hashes[] = {
		{ "SHA256", 256 },
		{ "SHA2-256", 256 },
		{ "SHA384", 384 },
		{ "SHA2-384", 384 },
		{ "SHA512", 512 },
		{ "SHA2-512", 512 },
	};
	struct signing *s = data;
	size_t i;

	(void)params;
	if (key != NULL)
		s->key = key;
	s->hash_bits = 0;
	s->pss = false;
	if (s->key == NULL)
		return 0;
	if (strcmp(s->key->type, "ED25519") == 0)
		return hash == NULL || hash[0] == '\0';
	for (i = 0; hash != NULL && i < sizeof(hashes) / sizeof(hashes[0]); i++)
		if (strcmp(hashes[i].name, hash) == 0)
			s->hash_bits = hashes[i].bits;
	return s->hash_bits != 0;
}

static int
signing_sign(void *data, unsigned char *out, size_t *out_len, size_t size,
    const unsigned char *in, size_t n)
{
	const struct signing *s = data;
	struct remote_key_how how = { 0 };
	int most;

	if (s->key == NULL)
		return 0;
	most = EVP_PKEY_get_size(s->key->public_half);
	if (most <= 0)
		return 0;
	if (out == NULL) {
		*out_len = (size_t)most;
		return 1;
	}
	how.key = s->key->number;
	how.hash_bits = s->hash_bits;
	how.pkcs1 = strcmp(s->key->type, "RSA") == 0 && !s->pss;
	*out_len = ask(ask_ctx, &how, in, n, out, size);
	return *out_len > 0;
}

/* Of an RSA signature: PSS, the one padding of TLS 1.3, or PKCS #1 v1.5. */
static int
signing_set_params(void *data, const OSSL_PARAM params[])
{
	struct signing *s = data;
	const OSSL_PARAM *p;
	int padding = 0;

	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
	if (p == NULL)
		return 1;
	if (p->data_type == OSSL_PARAM_UTF8_STRING && p->data != NULL)
		padding = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0
		    ? RSA_PKCS1_PSS_PADDING
		    : strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0
		    ? RSA_PKCS1_PADDING
		    : 0;
	else if (OSSL_PARAM_get_int(p, &padding) != 1)
		return 0;
	s->pss = padding == RSA_PKCS1_PSS_PADDING;
	return s->pss || padding == RSA_PKCS1_PADDING;
}

static const OSSL_PARAM *
signing_settable_params(void *data, void *provider)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL,
		    0),
		OSSL_PARAM_END,
	};

	(void)data;
	(void)provider;
	return types;
}

static const OSSL_DISPATCH signing_functions[] = {
	{ OSSL_FUNC_SIGNATURE_NEWCTX, FUNCTION(signing_new) },
	{ OSSL_FUNC_SIGNATURE_FREECTX, FUNCTION(signing_free) },
	{ OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, FUNCTION(signing_begin) },
	{ OSSL_FUNC_SIGNATURE_DIGEST_SIGN, FUNCTION(signing_sign) },
	{ OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, FUNCTION(signing_set_params) },
	{ OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS,
	    FUNCTION(signing_settable_params) },
	{ 0, NULL },
};

/* The provider. */

static const OSSL_ALGORITHM *
provider_query(void *provider, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM keys[] = {
		{ "RSA:rsaEncryption", REMOTE_KEY_PROPERTY, key_rsa, NULL },
		{ "EC:id-ecPublicKey", REMOTE_KEY_PROPERTY, key_ec, NULL },
		{ "ED25519", REMOTE_KEY_PROPERTY, key_ed25519, NULL },
		{ NULL, NULL, NULL, NULL },
	};
	static const OSSL_ALGORITHM signatures[] = {
		{ "RSA:rsaEncryption", REMOTE_KEY_PROPERTY, signing_functions,
		    NULL },
		{ "ECDSA", REMOTE_KEY_PROPERTY, signing_functions, NULL },
		{ "ED25519", REMOTE_KEY_PROPERTY, signing_functions, NULL },
		{ NULL, NULL, NULL, NULL },
	};

	(void)provider;
	*no_cache = 0;
	if (operation == OSSL_OP_KEYMGMT)
		return keys;
	return operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static int
provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **out, void **provider)
{
	static const OSSL_DISPATCH functions[] = {
		{ OSSL_FUNC_PROVIDER_QUERY_OPERATION,
		    FUNCTION(provider_query) },
		{ 0, NULL },
	};

	(void)in;
	*out = functions;
	*provider =
	    (void *)(uintptr_t)handle; /* of no use to us, but not NULL */
	return 1;
}

void
remote_key_ask(remote_key_sign_fn sign, void *ctx)
{
	ask = sign;
	ask_ctx = ctx;
}

int
remote_key_init(remote_key_sign_fn sign, void *ctx)
{
	remote_key_ask(sign, ctx);
	/* Loading one by name keeps the default one from coming by itself. */
	if (OSSL_PROVIDER_add_builtin(NULL, "postern", provider_init) != 1 ||
	    OSSL_PROVIDER_load(NULL, "default") == NULL ||
	    OSSL_PROVIDER_load(NULL, "postern") == NULL)
		return -1;
	return 0;
}

EVP_PKEY *
remote_key_new(const EVP_PKEY *public_half, uint32_t key)
{
	OSSL_PARAM *params = NULL, number[2], *all = NULL;
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *made = NULL;

	number[0] = OSSL_PARAM_construct_uint32(REMOTE_KEY_NUMBER, &key);
	number[1] = OSSL_PARAM_construct_end();
	if (EVP_PKEY_todata(public_half, EVP_PKEY_PUBLIC_KEY, &params) != 1)
		return NULL;
	all = OSSL_PARAM_merge(params, number);
	ctx = EVP_PKEY_CTX_new_from_name(NULL,
	    EVP_PKEY_get0_type_name(public_half), REMOTE_KEY_PROPERTY);
	if (all == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_KEYPAIR, all) != 1)
		made = NULL;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(all); /* the list; what it names is in params */
	OSSL_PARAM_free(params);
	return made;
}
