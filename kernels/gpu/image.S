/* image.S - the device code inside the program: gpu_fatbin for drivers that know its toolkit, gpu_ptx
 * for older ones. */
	.section .rodata
	.global gpu_fatbin, gpu_fatbin_end, gpu_ptx
	.balign 16
gpu_fatbin:
	.incbin "gpu.fatbin"
gpu_fatbin_end:
	.balign 16
gpu_ptx:
	.incbin "gpu.ptx"
	.byte 0
	.section .note.GNU-stack,"",%progbits
