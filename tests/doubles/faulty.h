/* faulty.h - what faulty_wgmma leaves out or does wrong. */
#ifndef ASSAY_FAULTY_H
#define ASSAY_FAULTY_H

enum {
	FAULTY_NOTHING,
	FAULTY_INIT,        /* barriers are not made */
	FAULTY_PUBLISH,     /* nor shown to the copy engine */
	FAULTY_SYNC,        /* nor waited for by other threads */
	FAULTY_FREE_WAIT,   /* copies do not wait until a stage is free */
	FAULTY_TWICE,       /* copies into a stage that is being filled */
	FAULTY_BYTES,       /* more bytes are expected than come */
	FAULTY_FULL_WAIT,   /* one warp does not wait for its operands */
	FAULTY_HEARSAY,     /* one warp knows of its operands from another only */
	FAULTY_FENCE,       /* no wgmma.fence after sums could be touched */
	FAULTY_DESCRIPTOR,  /* a stray bit */
	FAULTY_PATTERN,     /* operands that do not begin where the swizzled order does */
	FAULTY_GROUP,       /* one warp has another descriptor */
	FAULTY_TOUCH,       /* sums are written while they are worked on */
	FAULTY_EARLY_FREE,  /* a stage is given back before its product was waited for */
	FAULTY_ARRIVE,      /* more arrivals than there are warps */
	FAULTY_WRITE,       /* threads write to operands without a fence */
	FAULTY_WRITE_SHOWN, /* and with it, which is allowed: the product is another one */
	FAULTY_READ,        /* sums are read before they are waited for */
	FAULTY_END,         /* the block ends before its product */
};

#endif
