/* SPDX-License-Identifier: ISC */
/* What becomes of each part of a message: decided in the first pass. */
#include "agent/message/mime_internal.h"

void
mime_plan_fail(struct mime *m, enum mime_error error)
{
	if (m->error == MIME_OK)
		m->error = error;
}

enum mime_plan
mime_plan_of(const struct mime *m)
{
	return m->plan[m->entity / 4] >> (m->entity % 4 * 2) & 3;
}

void
mime_plan_decide(struct mime *m, enum mime_plan plan)
{
	if (m->writing || plan == MIME_KEEP)
		return;
	m->plan[m->entity / 4] |=
	    (uint8_t)((unsigned int)plan << (m->entity % 4 * 2));
	m->is_changed = true;
}

bool
mime_plan_is_signed(const struct mime *m)
{
	for (uint32_t i = 0; i < m->depth; i++)
		if (m->levels[i].kind == MIME_SIGNED)
			return true;
	return false;
}

/* Whether its label says more than the target takes. */
bool
mime_plan_is_declared_beyond(const struct mime *m)
{
	return m->declared == MIME_BINARY ||
	    (m->declared == MIME_8BIT && m->target == MIME_TO_7BIT);
}

static bool
needs_encoding(const struct mime *m)
{
	return m->is_binary || (m->high > 0 && m->target == MIME_TO_7BIT);
}

static enum mime_error
may_not_encode(const struct mime *m)
{
	if (mime_plan_is_signed(m))
		return MIME_IS_SIGNED;
	if (m->declared == MIME_ENCODED)
		return MIME_IS_ENCODED;
	return m->type.kind == MIME_RESTRICTED ? MIME_IS_RESTRICTED : MIME_OK;
}

/* Beyond one octet in six, base64 is shorter. */
static enum mime_plan
best_encoding(const struct mime *m)
{
	if (m->type.kind == MIME_TEXT && !m->is_binary &&
	    m->high <= m->octets / 6)
		return MIME_TO_QP;
	return MIME_TO_BASE64;
}

void
mime_plan_decide_leaf(struct mime *m)
{
	enum mime_error why = may_not_encode(m);

	if (m->writing)
		return;
	if (needs_encoding(m) && why != MIME_OK)
		mime_plan_fail(m, why);
	else if (needs_encoding(m) || (m->is_long && why == MIME_OK))
		mime_plan_decide(m, best_encoding(m));
	else if (mime_plan_is_declared_beyond(m) && !mime_plan_is_signed(m))
		mime_plan_decide(m, MIME_RELABEL);
}
