/*
 * rdma_place.c - where a node can be met, as a text of fixed width.
 *
 * It comes from another node through the controller, so it is taken apart to the last character.
 * Everything is in hexadecimal digits but the queue pairs, of which there may be 34: their 24 bits
 * are four characters of base64url (RFC 4648, section 5), or they would not fit.
 */
#include "kernels/rdma.h"

#include <stdio.h>
#include <string.h>

#define TAG "r1"
static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
enum { QPN_LETTERS = 4 };

void rdma_place_text(const struct rdma_place *place, char out[NET_PLACE])
{
	int n = snprintf(out, NET_PLACE, TAG " %04x ", place->lid);

	for (size_t i = 0; i < sizeof(place->gid.raw); i++)
		n += snprintf(out + n, (size_t)(NET_PLACE - n), "%02x", place->gid.raw[i]);
	n += snprintf(out + n, (size_t)(NET_PLACE - n), " %x %06x %08x %016llx %012llx %016llx ",
		      place->mtu, place->psn, place->rkey, (unsigned long long)place->address,
		      (unsigned long long)place->bytes, (unsigned long long)place->token);
	if (n + place->qp_count * QPN_LETTERS >= NET_PLACE)
		BUG("a place of %d queue pairs is too long", place->qp_count);
	for (int i = 0; i < place->qp_count; i++)
		for (int shift = 18; shift >= 0; shift -= 6)
			out[n++] = letters[place->qpns[i] >> shift & 63];
	out[n] = '\0';
}

/* Exactly so many digits and the space behind them; *text is NULL once something was wrong. */
static uint64_t hex(const char **text, int digits)
{
	static const char known[] = "0123456789abcdef";
	uint64_t value = 0;

	for (int i = 0; *text && i < digits; i++) {
		const char *digit = (*text)[i] ? strchr(known, (*text)[i]) : NULL;

		if (!digit) {
			*text = NULL;
			return 0;
		}
		value = value << 4 | (uint64_t)(digit - known);
	}
	if (*text)
		*text = (*text)[digits] == ' ' ? *text + digits + 1 : NULL;
	return value;
}

static void read_gid(const char **text, union ibv_gid *gid)
{
	char one[4] = "";

	for (size_t i = 0; *text && i < sizeof(gid->raw); i++) {
		const char *digits = one;

		memcpy(one, *text, strnlen(*text, 2));
		one[2] = ' ';
		gid->raw[i] = (unsigned char)hex(&digits, 2);
		*text = digits ? *text + 2 : NULL;
	}
	if (*text)
		*text = **text == ' ' ? *text + 1 : NULL;
}

static int read_qpns(const char *text, struct rdma_place *place)
{
	size_t len = strlen(text);

	place->qp_count = (int)(len / QPN_LETTERS);
	if (len % QPN_LETTERS || len < 3 * QPN_LETTERS || len > RDMA_QPS * QPN_LETTERS)
		return -1;
	for (size_t i = 0; i < len; i++) {
		const char *letter = strchr(letters, text[i]);
		uint32_t *qpn = &place->qpns[i / QPN_LETTERS];

		if (!letter)
			return -1;
		*qpn = *qpn << 6 | (uint32_t)(letter - letters);
	}
	return 0;
}

int rdma_place_parse(const char *text, struct rdma_place *place)
{
	memset(place, 0, sizeof(*place));
	if (strlen(text) >= NET_PLACE || strncmp(text, TAG " ", strlen(TAG " ")) != 0)
		return -1;
	text += strlen(TAG " ");
	place->lid = (unsigned)hex(&text, 4);
	read_gid(&text, &place->gid);
	place->mtu = (unsigned)hex(&text, 1);
	place->psn = (unsigned)hex(&text, 6);
	place->rkey = (unsigned)hex(&text, 8);
	place->address = hex(&text, 16);
	place->bytes = hex(&text, 12);
	place->token = hex(&text, 16);
	if (!text || read_qpns(text, place) < 0)
		return -1;
	return place->mtu >= IBV_MTU_256 && place->mtu <= IBV_MTU_4096 && place->bytes &&
			       place->bytes % (2 * RDMA_PIECE) == 0 &&
			       place->address <= UINT64_MAX - (1ull << 49)
		       ? 0
		       : -1;
}
