/*
 * Frames between the scheduler (host) and an executor (the far end of one unix stream socket).
 *
 * A frame is a head of 12 bytes and a payload:
 *
 *     offset 0  u8   kind
 *            1  u8   flags         bit 0: LAST, nothing follows for this direction of this call
 *                                  bit 1: STAYS, only with LAST of an answer: it is whole, but work after it goes on
 *            2  u16  zero
 *            4  u32  call          big-endian; number the host gave the call, 0 for the instance
 *            8  u32  length        big-endian; bytes of payload, at most FRAME_MAX
 *
 * JSON payloads are UTF-8 objects.  A life, host on the left:
 *
 *                  ◀── HELLO   {"protocol":1,"runtime":"node","version":"v20.20.2"}    the instance is blank
 *     SECRETS     ──▶          {"API_KEY":"…"}              before LOAD, once, if the bundle names secrets: belongs to env
 *     LOAD        ──▶          {"dir":"/…/bundle","entry":"main.js","env":{"LANG":"C"},
 *                               "bundle":"did:plc:…/hello","cid":"bafy…"}              once, binds it for life
 *                  ◀── READY   {"endpoints":["default","listVideos"]}
 *                      (or ERROR with call 0: the bundle does not load; the host ends the instance)
 *     CALL [LAST] ──▶          {"job":"…","endpoint":"listVideos","method":"POST","url":"http://h/bundle/…?q",
 *                               "path":"/more/path","query":"a=b","headers":[["name","value"],…],
 *                               "caller":"did:…"|null,"deadlineMs":9871}               deadlineMs: milliseconds left
 *     DATA [LAST] ──▶          bytes of the request body; CALL carries LAST when there is no body
 *                  ◀── LOG     {"level":"info","text":"…"}          any time; call 0 before a call
 *                  ◀── HEAD [LAST]  {"status":200,"headers":[["content-type","text/plain"],…]}   at most once
 *                  ◀── BODY [LAST]  bytes                          LAST (also on an empty BODY) ends the call: ok
 *                  ◀── ERROR   {"name":"TypeError","message":"…","where":"main.js:3:9","stack":"…"}
 *                                                                   ends the call: the bundle failed
 *                  ◀── DONE    u32 u32, or empty; after an end that STAYS: the work after the answer is over; how many pieces of
 *                              it there were, and how many of them failed
 *     CANCEL      ──▶          empty; the deadline came or the caller left: abort the call's signal.  When the handler does
 *                              not end by that, an ERROR named HandlerGoesOn ends the call, and the instance is used no more
 *
 * Neither side may send more of a body than the other has room for: FRAME_WINDOW bytes at first, and then as many more as
 *
 *     CREDIT      ──▶          u32  big-endian; so many bytes of BODY may follow
 *                  ◀── MORE    u32  big-endian; so many bytes of DATA may follow
 *
 * say.  (The host sends a body that it has whole all at once.)
 *
 * The far end is hostile: a frame that is too long, of an unknown kind or out of turn ends the instance.
 */
#ifndef LIB_FRAME_H
#define LIB_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

enum frame_kind {
	/* executor to host */
	FRAME_HELLO = 1,
	FRAME_READY = 2,
	FRAME_HEAD = 3,
	FRAME_BODY = 4,
	FRAME_ERROR = 5,
	FRAME_LOG = 6,
	FRAME_MORE = 7,
	FRAME_DONE = 8,
	/* host to executor */
	FRAME_LOAD = 16,
	FRAME_CALL = 17,
	FRAME_DATA = 18,
	FRAME_CANCEL = 19,
	FRAME_SECRETS = 20,
	FRAME_CREDIT = 21,
};

#define FRAME_HEAD_BYTES 12
#define FRAME_LAST       1u
#define FRAME_STAYS      2u
/* Longest payload either side may send; longer bodies are cut into several frames. */
#define FRAME_MAX (256u * 1024u)
/* Bytes of a body that may be under way to who has not asked for more. */
#define FRAME_WINDOW (1024u * 1024u)

struct frame {
	enum frame_kind kind;
	bool last, stays;
	uint32_t call;
	const char *data; /* borrowed from the input buffer; data[length] is NOT a NUL */
	size_t length;
};

/* Appends one frame; n must not exceed FRAME_MAX. */
void frame_add(struct buf *to, enum frame_kind kind, bool last, uint32_t call, const void *p, size_t n);

/* Appends CREDIT. */
void frame_add_credit(struct buf *to, uint32_t call, uint32_t bytes);
/* The number in a MORE; -1: it holds none. */
int64_t frame_number(const struct frame *f);

/* Appends body as DATA (or BODY) frames of at most FRAME_MAX bytes, the last one marked LAST. */
void frame_add_body(struct buf *to, enum frame_kind kind, uint32_t call, const void *p, size_t n);

/*
 * Looks at the bytes [p, p + n).  Returns the bytes the first frame takes (and fills f), 0 when it is
 * not all there yet, or -1 when it can never be a frame an executor may send (ERR_INPUT).
 */
long frame_next(const char *p, size_t n, struct frame *f, struct err *e);

#endif
