/*
 * What the front door tells the scheduler of the requests that it has answered, also those that never became a job: so that
 * /metrics and a collector know of all, whichever of its processes had them.  It comes as a datagram on the scheduler's bell and
 * says what was added since the last; one that is lost is a second of counting.
 */
#ifndef LIB_KNOCK_H
#define LIB_KNOCK_H

#include <stdint.h>

#include "lib/store_traffic.h"

#define KNOCK_MAGIC 0x314b4e4bu

enum knock { KNOCK_2XX, KNOCK_3XX, KNOCK_4XX, KNOCK_429, KNOCK_5XX, KNOCK_503, KNOCKS };

struct knocks {
	uint32_t magic, bytes;
	int64_t answered[KNOCKS];
	int64_t within[TRAFFIC_BOUNDS + 1]; /* traffic_bound_ms; the last is all */
	int64_t us;                         /* of all together */
};

static inline enum knock
knock_of(int status)
{
	if (status == 429 || status == 503)
		return status == 429 ? KNOCK_429 : KNOCK_503;
	return status < 300 ? KNOCK_2XX : status < 400 ? KNOCK_3XX : status < 500 ? KNOCK_4XX : KNOCK_5XX;
}

#endif
