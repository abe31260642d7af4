#include "scheduler/flow.h"

#include "lib/frame.h"
#include "lib/log.h"
#include "lib/store_work.h"
#include "scheduler/instance.h"
#include "scheduler/shop.h"

/* Room is not given in crumbs. */
#define LEAST_BYTES ((int64_t)FRAME_WINDOW / 8)

/* True when it has room again. */
static bool
give(struct job *j)
{
	struct err e = ERR_INIT;
	int64_t unread = 0, may;

	if (j->instance == NULL)
		return true; /* its call is over, and its end waits for a signature (receipts.c) */
	/* Its reader begins to read when it has written: until then the answer is kept like one that nobody waits for. */
	if (j->w.mode == JOB_SYNC && (!j->w.upload_holds || j->up_ended) && work_unread(shop.s.store, j->w.id.row, &unread, &e) != 0) {
		log_warn("look at a stream", "why=%s", log_q(e.text));
		return false;
	}
	may = j->received + (int64_t)FRAME_WINDOW - unread;
	if (may < j->allowed + LEAST_BYTES)
		return false;
	j->allowed = may;
	instance_allow(j->instance, j, may);
	instance_flush(j->instance);
	return true;
}

void
flow_written(struct job *j)
{
	if (j->outcome != OUTCOME_NONE || j->received + (int64_t)FRAME_WINDOW / 2 < j->allowed)
		return;
	j->thirsty = !give(j);
	shop.thirsty |= j->thirsty;
}

void
flow_look(void)
{
	size_t i;

	if (!shop.thirsty || !shop.rung)
		return;
	shop.thirsty = shop.rung = false;
	for (i = 0; i < shop.running.n; i++) {
		struct job *j = shop.running.item[i];

		if (!j->thirsty || j->outcome != OUTCOME_NONE)
			continue;
		j->thirsty = !give(j);
		shop.thirsty |= j->thirsty;
	}
}
