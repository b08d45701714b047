"""What people write for the kernel 11.4. It needs Triton."""
# mypy: ignore-errors
# ruff: noqa: F811

import triton
import triton.language as tl

from lessons.grading.task import Bank

# 11.4 double_dequantize_kernel

doubles = Bank()


@doubles.right
@triton.jit
def double_dequantize_kernel(
    codes_ptr,
    absmax_codes_ptr,
    absmax_scale_ptr,
    absmax_offset_ptr,
    levels_ptr,
    map_ptr,
    out_ptr,
    n,
    BLOCK_SIZE: tl.constexpr,
    NESTED_BLOCK_SIZE: tl.constexpr,
    SIZE: tl.constexpr,
):
    i = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    mask = i < n
    byte = tl.load(codes_ptr + i // 2, mask=mask, other=0)
    code = tl.where(i % 2 == 0, byte >> 4, byte & 15)
    block = i // BLOCK_SIZE
    absmax_code = tl.load(absmax_codes_ptr + block, mask=mask, other=0)
    nested = tl.load(absmax_scale_ptr + block // NESTED_BLOCK_SIZE, mask=mask, other=0.0)
    offset = tl.load(absmax_offset_ptr)
    absmax = tl.load(map_ptr + absmax_code) * nested + offset
    tl.store(out_ptr + i, tl.load(levels_ptr + code) * absmax, mask=mask)


@doubles.right
@triton.jit
def double_dequantize_kernel(
    codes_ptr,
    absmax_codes_ptr,
    absmax_scale_ptr,
    absmax_offset_ptr,
    levels_ptr,
    map_ptr,
    out_ptr,
    n,
    BLOCK_SIZE: tl.constexpr,
    NESTED_BLOCK_SIZE: tl.constexpr,
    SIZE: tl.constexpr,
):
    HALF: tl.constexpr = SIZE // 2
    even = tl.program_id(0) * SIZE + 2 * tl.arange(0, HALF)
    odd = even + 1
    packed = tl.load(codes_ptr + even // 2, mask=even < n, other=0).to(tl.int32)
    q = tl.load(absmax_codes_ptr + even // BLOCK_SIZE, mask=even < n, other=127).to(tl.int32)
    s = tl.load(absmax_scale_ptr + even // (BLOCK_SIZE * NESTED_BLOCK_SIZE), mask=even < n, other=0)
    scale = tl.fma(tl.load(map_ptr + q), s, tl.load(absmax_offset_ptr))
    tl.store(out_ptr + even, tl.load(levels_ptr + packed // 16) * scale, mask=even < n)
    tl.store(out_ptr + odd, tl.load(levels_ptr + packed % 16) * scale, mask=odd < n)


@doubles.right
@triton.jit
def double_dequantize_kernel(
    codes_ptr,
    absmax_codes_ptr,
    absmax_scale_ptr,
    absmax_offset_ptr,
    levels_ptr,
    map_ptr,
    out_ptr,
    n,
    BLOCK_SIZE: tl.constexpr,
    NESTED_BLOCK_SIZE: tl.constexpr,
    SIZE: tl.constexpr,
):
    for k in tl.static_range(SIZE):
        i = tl.program_id(0) * SIZE + k
        if i < n:
            block = i // BLOCK_SIZE
            value = tl.load(map_ptr + tl.load(absmax_codes_ptr + block).to(tl.int32))
            scale = value * tl.load(absmax_scale_ptr + block // NESTED_BLOCK_SIZE)
            scale += tl.load(absmax_offset_ptr)
            byte = tl.load(codes_ptr + i // 2).to(tl.int32)
            if i % 2 == 0:
                code = byte >> 4
            else:
                code = byte & 15
            tl.store(out_ptr + i, scale * tl.load(levels_ptr + code))


doubles.edit(
    "the offset is forgotten",
    "You do not add the offset: the scales are what is left of them above or below their mean.",
    (" * nested + offset", " * nested"),
)
doubles.edit(
    "the offset is scaled",
    "You add the offset before you multiply by the nested block's scale, so it is scaled as well.",
    (
        "tl.load(map_ptr + absmax_code) * nested + offset",
        "(tl.load(map_ptr + absmax_code) + offset) * nested",
    ),
)
doubles.edit(
    "the offset is added to the weights",
    "You multiply the level by the centred scale and add the offset to the weight. It belongs to "
    "the scale: add it first.",
    ("* nested + offset", "* nested"),
    ("tl.load(levels_ptr + code) * absmax,", "tl.load(levels_ptr + code) * absmax + offset,"),
)
doubles.edit(
    "nested blocks of elements",
    "You divide the element's number by NESTED_BLOCK_SIZE. It counts blocks: divide the number of "
    "the block. So you read past the end of absmax_scale.",
    ("absmax_scale_ptr + block // NESTED_BLOCK_SIZE", "absmax_scale_ptr + i // NESTED_BLOCK_SIZE"),
)
doubles.edit(
    "a second scale for every block",
    "You read the second scale of number `block`. NESTED_BLOCK_SIZE blocks share one.",
    ("absmax_scale_ptr + block // NESTED_BLOCK_SIZE", "absmax_scale_ptr + block"),
)
doubles.edit(
    "the first second scale for all",
    "You use the first of the second scales for all blocks.",
    ("absmax_scale_ptr + block // NESTED_BLOCK_SIZE, mask=mask, other=0.0", "absmax_scale_ptr"),
)
doubles.edit(
    "the code instead of its value",
    "You scale the code of absmax itself. It is an index: look its value up at map_ptr.",
    ("tl.load(map_ptr + absmax_code)", "absmax_code.to(tl.float32)"),
)
doubles.edit(
    "equal steps",
    "You read the codes of absmax as 256 equal steps from -1 to 1. Their values are at map_ptr.",
    ("tl.load(map_ptr + absmax_code)", "(absmax_code.to(tl.float32) / 127.5 - 1)"),
)
doubles.edit(
    "the tables are swapped",
    "You look the 4-bit codes up in the map of the scales. Their levels are at levels_ptr.",
    ("tl.load(levels_ptr + code)", "tl.load(map_ptr + code)"),
)
doubles.edit(
    "the halves of a byte are swapped",
    "You give the low half of a byte to the even element. The first code is in the high half.",
    ("i % 2 == 0", "i % 2 == 1"),
)
doubles.edit(
    "one code of absmax an element",
    "You read the code of absmax with the number of the element. It has one for each block: "
    "i // BLOCK_SIZE.",
    ("absmax_codes_ptr + block", "absmax_codes_ptr + i"),
)
doubles.edit(
    "one byte an element",
    "You read byte i for element i, but two elements share a byte: it is byte i // 2.",
    ("codes_ptr + i // 2", "codes_ptr + i"),
)
doubles.edit(
    "stored without a mask",
    "Your last program writes past the end of out: mask the store with i < n.",
    ("* absmax, mask=mask", "* absmax"),
)
doubles.edit(
    "codes of absmax loaded without a mask",
    "Your last program reads past the end of the codes of absmax: mask the load.",
    ("absmax_codes_ptr + block, mask=mask, other=0", "absmax_codes_ptr + block"),
)
doubles.edit(
    "one scale a program",
    "You compute the absmax of your program's first element and use it for all. A program may have "
    "several blocks, and a block may begin in the middle of it.",
    ("block = i // BLOCK_SIZE", "block = tl.program_id(0) * SIZE // BLOCK_SIZE + 0 * i"),
)
doubles.edit(
    "programs BLOCK_SIZE apart",
    "Your program p begins at p * BLOCK_SIZE. It writes SIZE elements, so it begins at p * SIZE.",
    ("tl.program_id(0) * SIZE", "tl.program_id(0) * BLOCK_SIZE"),
)
doubles.edit(
    "absmax rounded to 16 bits",
    "You round absmax to out's dtype before you multiply. Multiply in fp32; the store rounds once.",
    (
        "tl.load(levels_ptr + code) * absmax,",
        "tl.load(levels_ptr + code).to(out_ptr.dtype.element_ty) * "
        "absmax.to(out_ptr.dtype.element_ty),",
    ),
)
doubles.edit(
    "blocks of 64",
    "You count 64 elements a block whatever BLOCK_SIZE is.",
    ("i // BLOCK_SIZE", "i // 64"),
)
doubles.edit(
    "the offset is subtracted",
    "You subtract the offset. It is the mean that was taken off, so it is added again.",
    (" * nested + offset", " * nested - offset"),
)
doubles.edit(
    "an offset for each block",
    "You read an offset for each block, past the only one there is: load absmax_offset_ptr itself.",
    ("tl.load(absmax_offset_ptr)", "tl.load(absmax_offset_ptr + block, mask=mask, other=0.0)"),
)
doubles.edit(
    "second scales loaded without a mask",
    "Your last program reads past the end of absmax_scale: mask the load.",
    ("NESTED_BLOCK_SIZE, mask=mask, other=0.0", "NESTED_BLOCK_SIZE"),
)
doubles.edit(
    "codes loaded without a mask",
    "Your last program reads past the end of the codes: mask the load with i < n.",
    ("codes_ptr + i // 2, mask=mask, other=0", "codes_ptr + i // 2"),
)
doubles.edit(
    "one element too many",
    "Your mask lets element n through. The last element is n - 1.",
    ("mask = i < n", "mask = i <= n"),
)
doubles.edit(
    "the last element of an odd n is left out",
    "Your mask ends at an even number, so that where n is odd nobody writes the last element.",
    ("* absmax, mask=mask", "* absmax, mask=i < n // 2 * 2"),
)
doubles.edit(
    "scales counted within the program",
    "You count a program's blocks from tl.program_id(0) * (SIZE // BLOCK_SIZE) on. That is right "
    "only where BLOCK_SIZE divides SIZE: element i is in block i // BLOCK_SIZE.",
    (
        "block = i // BLOCK_SIZE",
        "block = tl.program_id(0) * (SIZE // BLOCK_SIZE) + tl.arange(0, SIZE) // BLOCK_SIZE",
    ),
)
doubles.edit(
    "second scales in turn",
    "You take the second scales in turn, block % NESTED_BLOCK_SIZE. Neighbours share one: divide.",
    ("block // NESTED_BLOCK_SIZE", "block % NESTED_BLOCK_SIZE"),
)
doubles.edit(
    "absmax is always in bf16",
    "You round absmax to bf16. It is computed in fp32, and only the store rounds.",
    ("* nested + offset", "* nested + offset\n    absmax = absmax.to(tl.bfloat16).to(tl.float32)"),
)
doubles.edit(
    "the product is always in bf16",
    "You round to bf16 whatever the dtype of out is.",
    (
        "tl.load(levels_ptr + code) * absmax,",
        "(tl.load(levels_ptr + code) * absmax).to(tl.bfloat16),",
    ),
)


@doubles.mistake(
    "codes of absmax read with a sign",
    "You read the codes of absmax as signed numbers, so that 128 and more point in front of the "
    "map.",
)
@triton.jit
def double_dequantize_kernel(
    codes_ptr,
    absmax_codes_ptr,
    absmax_scale_ptr,
    absmax_offset_ptr,
    levels_ptr,
    map_ptr,
    out_ptr,
    n,
    BLOCK_SIZE: tl.constexpr,
    NESTED_BLOCK_SIZE: tl.constexpr,
    SIZE: tl.constexpr,
):
    i = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    mask = i < n
    byte = tl.load(codes_ptr + i // 2, mask=mask, other=0)
    code = tl.where(i % 2 == 0, byte >> 4, byte & 15)
    block = i // BLOCK_SIZE
    signed = tl.load(absmax_codes_ptr + block, mask=mask, other=0).to(tl.int8, bitcast=True)
    nested = tl.load(absmax_scale_ptr + block // NESTED_BLOCK_SIZE, mask=mask, other=0.0)
    absmax = tl.load(map_ptr + signed.to(tl.int32)) * nested + tl.load(absmax_offset_ptr)
    tl.store(out_ptr + i, tl.load(levels_ptr + code) * absmax, mask=mask)
