/* SPDX-License-Identifier: BSD-2-Clause */
/* start.S - the first instructions of a hart, and the way into the kernel and out again */
	.section .text.start
	.globl	_start
_start:
	csrr	t0, mhartid
	li	t1, 3			# HARTS
	bgeu	t0, t1, 1f
	addi	t0, t0, 1
	slli	t0, t0, 14
	la	sp, stacks
	add	sp, sp, t0
	la	t0, trap_entry
	csrw	mtvec, t0
	call	hart_main		# does not return but by leave()
1:	wfi
	j	1b

	# Only from user mode: mscratch is the task's registers, of which the first is the hart's stack.
	.align	2
trap_entry:
	csrrw	t6, mscratch, t6
	.irp	i, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
	sd	x\i, 8*\i(t6)
	.endr
	csrr	t0, mscratch
	sd	t0, 8*31(t6)
	csrr	t0, mepc
	sd	t0, 8*32(t6)
	ld	sp, 0(t6)
	mv	a0, t6
	call	trap			# returns the registers to go on with
	.globl	leave
leave:
	mv	t6, a0
	csrw	mscratch, t6
	ld	t0, 8*32(t6)
	csrw	mepc, t0
	sfence.vma
	.irp	i, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	ld	x\i, 8*\i(t6)
	.endr
	mret

	.bss
	.align	4
	.globl	stacks
stacks:	.space	3 << 14
