"""What people write for the kernels 10.6 and 10.7. It needs Triton."""
# mypy: ignore-errors
# ruff: noqa: F811

import triton
import triton.language as tl

from lessons.grading.task import Bank

# 10.6 dequantize_kernel

dequantizes = Bank()


@dequantizes.right
@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    i = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    byte = tl.load(codes_ptr + i // 2, mask=i < n, other=0)
    code = tl.where(i % 2 == 0, byte >> 4, byte & 15)
    level = tl.load(levels_ptr + code)
    scale = tl.load(absmax_ptr + i // BLOCK_SIZE, mask=i < n, other=0.0)
    tl.store(out_ptr + i, level * scale, mask=i < n)


@dequantizes.right
@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    HALF: tl.constexpr = SIZE // 2
    j = tl.program_id(axis=0) * HALF + tl.arange(0, HALF)  # a byte and a scale serve two elements
    packed = tl.load(codes_ptr + j, mask=2 * j < n, other=0).to(tl.int32)
    scale = tl.load(absmax_ptr + (2 * j) // BLOCK_SIZE, mask=2 * j < n, other=0.0)
    first = tl.load(levels_ptr + (packed >> 4)) * scale
    second = tl.load(levels_ptr + (packed & 0xF)) * scale
    tl.store(out_ptr + 2 * j, first.to(out_ptr.dtype.element_ty), mask=2 * j < n)
    tl.store(out_ptr + 2 * j + 1, second.to(out_ptr.dtype.element_ty), mask=2 * j + 1 < n)


@dequantizes.right
@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    pid = tl.program_id(0)
    start = pid * (SIZE // 2)
    offsets = start + tl.arange(0, SIZE // 2)
    bytes_ = tl.load(codes_ptr + offsets, mask=offsets < (n + 1) // 2, other=119)
    codes = tl.interleave(bytes_ // 16, bytes_ % 16)
    elements = pid * SIZE + tl.arange(0, SIZE)
    mask = elements < n
    table = tl.load(levels_ptr + tl.arange(0, 16))
    values = tl.gather(table, codes.to(tl.int32), 0)
    values *= tl.load(absmax_ptr + elements // BLOCK_SIZE, mask=mask)
    tl.store(out_ptr + elements, values, mask=mask)


@dequantizes.right
@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    first = tl.program_id(0).to(tl.int64) * SIZE
    for k in range(SIZE):
        i = first + k
        if i < n:
            byte = tl.load(codes_ptr + i // 2).to(tl.int32)
            shift = 4 * (1 - i % 2)
            level = tl.load(levels_ptr + ((byte >> shift) & 15))
            tl.store(out_ptr + i, level * tl.load(absmax_ptr + i // BLOCK_SIZE))


dequantizes.edit(
    "the halves of a byte are swapped",
    "You give the low half of a byte to the even element. The first code is in the high half.",
    ("i % 2 == 0", "i % 2 == 1"),
)
dequantizes.edit(
    "one byte an element",
    "You read byte i for element i, but two elements share a byte: it is byte i // 2. So you read "
    "every other element and past the end of the codes.",
    ("codes_ptr + i // 2", "codes_ptr + i"),
)
dequantizes.edit(
    "one scale a program",
    "You take scale p in program p. The scale belongs to the block of the element: i // "
    "BLOCK_SIZE.",
    ("absmax_ptr + i // BLOCK_SIZE, mask=i < n, other=0.0", "absmax_ptr + tl.program_id(0)"),
)
dequantizes.edit(
    "the scale of the program's first element",
    "You take the scale of your program's first element for all of them. A program may have "
    "several blocks, and a block may begin in the middle of it.",
    (
        "absmax_ptr + i // BLOCK_SIZE, mask=i < n, other=0.0",
        "absmax_ptr + tl.program_id(0) * SIZE // BLOCK_SIZE",
    ),
)
dequantizes.edit(
    "blocks of bytes",
    "You count blocks by bytes, so that BLOCK_SIZE bytes, twice as many elements, share a scale.",
    ("absmax_ptr + i // BLOCK_SIZE", "absmax_ptr + i // 2 // BLOCK_SIZE"),
)
dequantizes.edit(
    "stored without a mask",
    "Your last program writes past the end of out: mask the store with i < n.",
    ("level * scale, mask=i < n", "level * scale"),
)
dequantizes.edit(
    "codes loaded without a mask",
    "Your last program reads past the end of the codes: mask the load with i < n.",
    ("codes_ptr + i // 2, mask=i < n, other=0", "codes_ptr + i // 2"),
)
dequantizes.edit(
    "scales loaded without a mask",
    "Your last program reads past the end of absmax: mask the load with i < n.",
    ("absmax_ptr + i // BLOCK_SIZE, mask=i < n, other=0.0", "absmax_ptr + i // BLOCK_SIZE"),
)
dequantizes.edit(
    "one element too many",
    "Your mask lets element n through. The last element is n - 1.",
    ("level * scale, mask=i < n", "level * scale, mask=i <= n"),
)
dequantizes.edit(
    "the last element is left out",
    "Your mask leaves out element n - 1: nobody writes it.",
    ("level * scale, mask=i < n", "level * scale, mask=i < n - 1"),
)
dequantizes.edit(
    "programs BLOCK_SIZE apart",
    "Your program p begins at p * BLOCK_SIZE. It writes SIZE elements, so it begins at p * SIZE.",
    ("tl.program_id(0) * SIZE", "tl.program_id(0) * BLOCK_SIZE"),
)
dequantizes.edit(
    "all programs write the same",
    "Your programs do not ask which one they are, so all of them write the first SIZE elements.",
    ("tl.program_id(0) * SIZE + ", ""),
)
dequantizes.edit(
    "the high half is not shifted",
    "You cut the high half out but leave it where it is, so its codes are multiples of 16 and read "
    "past the 16 levels.",
    ("byte >> 4", "byte & 240"),
)
dequantizes.edit(
    "multiplied in 16 bits",
    "You round level and scale to out's dtype before you multiply. Multiply in fp32, and let the "
    "store round once.",
    (
        "level * scale, ",
        "level.to(out_ptr.dtype.element_ty) * scale.to(out_ptr.dtype.element_ty), ",
    ),
)
dequantizes.edit(
    "divided by the scale",
    "You divide by the scale. That is how weights became numbers from -1 to 1; the way back "
    "multiplies.",
    ("level * scale", "level / scale"),
)
dequantizes.edit(
    "the code instead of its level",
    "You scale the code itself. It is a number of a level: look it up at levels_ptr.",
    ("tl.load(levels_ptr + code)", "code.to(tl.float32)"),
)
dequantizes.edit(
    "programs take turns",
    "Your programs take elements in turn, p, p + P, p + 2P ... All of out is written, but program "
    "p shall write the SIZE neighbours from p * SIZE on.",
    (
        "tl.program_id(0) * SIZE + tl.arange(0, SIZE)",
        "tl.program_id(0) + tl.num_programs(0) * tl.arange(0, SIZE)",
    ),
)
dequantizes.edit(
    "scales counted within the program",
    "You count a program's blocks from tl.program_id(0) * (SIZE // BLOCK_SIZE) on. That is right "
    "only where BLOCK_SIZE divides SIZE: element i is in block i // BLOCK_SIZE.",
    (
        "absmax_ptr + i // BLOCK_SIZE",
        "absmax_ptr + tl.program_id(0) * (SIZE // BLOCK_SIZE) + tl.arange(0, SIZE) // BLOCK_SIZE",
    ),
)
dequantizes.edit(
    "blocks of SIZE",
    "You divide i by SIZE to find its scale, as if a program were a block. The scale of element i "
    "is number i // BLOCK_SIZE.",
    ("absmax_ptr + i // BLOCK_SIZE", "absmax_ptr + i // SIZE"),
)
dequantizes.edit(
    "blocks of 64",
    "You count 64 elements a block whatever BLOCK_SIZE is.",
    ("absmax_ptr + i // BLOCK_SIZE", "absmax_ptr + i // 64"),
)
dequantizes.edit(
    "bytes read with a sign",
    "Your bytes have a sign, so that the shift of one from 128 on keeps it: the code is negative "
    "and reads in front of the levels. Shift the uint8, or mask with 15 after the shift.",
    ("byte >> 4", "byte.to(tl.int8) >> 4"),
)
dequantizes.edit(
    "the byte of an odd end is not read",
    "Your mask of the codes lets n // 2 bytes through. There are (n + 1) // 2: where n is odd, the "
    "last byte holds one code more.",
    ("codes_ptr + i // 2, mask=i < n", "codes_ptr + i // 2, mask=i // 2 < n // 2"),
)
dequantizes.edit(
    "codes masked by the number of elements",
    "You compare the number of the byte with n, but there are only half as many bytes as elements: "
    "mask the load with i < n.",
    ("codes_ptr + i // 2, mask=i < n", "codes_ptr + i // 2, mask=i // 2 < n"),
)
dequantizes.edit(
    "the scale of a short last block is masked out",
    "Your mask of absmax counts whole blocks, n // BLOCK_SIZE, so that a short last block gets the "
    "scale 0.",
    (
        "absmax_ptr + i // BLOCK_SIZE, mask=i < n",
        "absmax_ptr + i // BLOCK_SIZE, mask=i // BLOCK_SIZE < n // BLOCK_SIZE",
    ),
)
dequantizes.edit(
    "the level is rounded first",
    "You round the level to out's dtype before you multiply. Multiply in fp32, and let the store "
    "round once.",
    ("level * scale, ", "level.to(out_ptr.dtype.element_ty).to(tl.float32) * scale, "),
)
dequantizes.edit(
    "the product is always in fp16",
    "You round to fp16 whatever the dtype of out is.",
    ("level * scale, ", "(level * scale).to(tl.float16), "),
)
dequantizes.edit(
    "the product is always in bf16",
    "You round to bf16 whatever the dtype of out is.",
    ("level * scale, ", "(level * scale).to(tl.bfloat16), "),
)
dequantizes.edit(
    "half of the elements are written",
    "Each of your programs writes the first SIZE // 2 of its elements and not the others.",
    ("scale, mask=i < n", "scale, mask=(i < n) & (tl.arange(0, SIZE) < SIZE // 2)"),
)
dequantizes.edit(
    "programs half as far apart",
    "Your program p begins at p * SIZE // 2. That is the number of its first byte; its first "
    "element is p * SIZE.",
    ("tl.program_id(0) * SIZE", "tl.program_id(0) * (SIZE // 2)"),
)
dequantizes.edit(
    "programs are clamped to the last",
    "Programs beyond the last that is needed do its work again. They have none: their elements "
    "are not below n.",
    ("tl.program_id(0) * SIZE", "tl.minimum(tl.program_id(0), (n - 1) // SIZE) * SIZE"),
)
dequantizes.edit(
    "added to what is there",
    "You add to what out holds. It holds nothing yet (here NaN, on a GPU whatever was there "
    "before): write it with tl.store.",
    (
        "tl.store(out_ptr + i, level * scale, mask=i < n)",
        "tl.atomic_add(out_ptr + i, level * scale, mask=i < n)",
    ),
)
dequantizes.edit(
    "nothing is stored",
    "You return the values, but nobody gets them: a kernel writes to out_ptr with tl.store.",
    ("tl.store(out_ptr + i, level * scale, mask=i < n)", "return level * scale"),
)


@dequantizes.mistake(
    "only whole programs",
    "You skip the last program unless all of its elements exist. It writes those below n.",
)
@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    i = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    if (tl.program_id(0) + 1) * SIZE <= n:
        byte = tl.load(codes_ptr + i // 2)
        code = tl.where(i % 2 == 0, byte >> 4, byte & 15)
        tl.store(out_ptr + i, tl.load(levels_ptr + code) * tl.load(absmax_ptr + i // BLOCK_SIZE))


@dequantizes.mistake(
    "high halves first, then low ones",
    "You write the high halves of your program's bytes first and the low ones after them. The two "
    "elements of a byte are neighbours.",
)
@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    HALF: tl.constexpr = SIZE // 2
    j = tl.program_id(0) * HALF + tl.arange(0, HALF)
    byte = tl.load(codes_ptr + j, mask=2 * j < n, other=0)
    high = tl.program_id(0) * SIZE + tl.arange(0, HALF)
    low = high + HALF
    scale = tl.load(absmax_ptr + high // BLOCK_SIZE, mask=high < n, other=0.0)
    tl.store(out_ptr + high, tl.load(levels_ptr + (byte >> 4)) * scale, mask=high < n)
    scale = tl.load(absmax_ptr + low // BLOCK_SIZE, mask=low < n, other=0.0)
    tl.store(out_ptr + low, tl.load(levels_ptr + (byte & 15)) * scale, mask=low < n)


@dequantizes.mistake(
    "only the even elements",
    "You write the high half of every byte and never the low one: each odd element is missing.",
)
@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    i = tl.program_id(0) * SIZE + 2 * tl.arange(0, SIZE // 2)
    byte = tl.load(codes_ptr + i // 2, mask=i < n, other=0)
    scale = tl.load(absmax_ptr + i // BLOCK_SIZE, mask=i < n, other=0.0)
    tl.store(out_ptr + i, tl.load(levels_ptr + (byte >> 4)) * scale, mask=i < n)


@dequantizes.mistake(
    "program 0 does everything",
    "All of out is right, but one program writes it, with a loop. Program p shall write elements "
    "p * SIZE to (p + 1) * SIZE - 1, so that they run at the same time.",
)
@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    if tl.program_id(0) == 0:
        for first in range(0, n, SIZE):
            i = first + tl.arange(0, SIZE)
            byte = tl.load(codes_ptr + i // 2, mask=i < n, other=0)
            code = tl.where(i % 2 == 0, byte >> 4, byte & 15)
            scale = tl.load(absmax_ptr + i // BLOCK_SIZE, mask=i < n, other=0.0)
            tl.store(out_ptr + i, tl.load(levels_ptr + code) * scale, mask=i < n)


@dequantizes.mistake(
    "the odd end is masked by pairs",
    "Your mask counts pairs, so where n is odd the other half of the last byte is written beyond "
    "the end of out.",
)
@triton.jit
def dequantize_kernel(
    codes_ptr, absmax_ptr, levels_ptr, out_ptr, n, BLOCK_SIZE: tl.constexpr, SIZE: tl.constexpr
):
    j = tl.program_id(0) * (SIZE // 2) + tl.arange(0, SIZE // 2)
    mask = 2 * j < n
    byte = tl.load(codes_ptr + j, mask=mask, other=0)
    scale = tl.load(absmax_ptr + 2 * j // BLOCK_SIZE, mask=mask, other=0.0)
    tl.store(out_ptr + 2 * j, tl.load(levels_ptr + (byte >> 4)) * scale, mask=mask)
    tl.store(out_ptr + 2 * j + 1, tl.load(levels_ptr + (byte & 15)) * scale, mask=mask)


# 10.7 quantize_kernel

quantizes = Bank()


@quantizes.right
@triton.jit
def quantize_kernel(x_ptr, thresholds_ptr, codes_ptr, absmax_ptr, n, BLOCK_SIZE: tl.constexpr):
    block = tl.program_id(0)
    i = block * BLOCK_SIZE + 2 * tl.arange(0, BLOCK_SIZE // 2)
    even = tl.load(x_ptr + i, mask=i < n, other=0.0)
    odd = tl.load(x_ptr + i + 1, mask=i + 1 < n, other=0.0)
    absmax = tl.max(tl.maximum(tl.abs(even), tl.abs(odd)), axis=0)
    tl.store(absmax_ptr + block, absmax)
    inverse = 1.0 / tl.where(absmax > 0, absmax, 1.0)
    even_code = tl.zeros([BLOCK_SIZE // 2], tl.int32)
    odd_code = tl.zeros([BLOCK_SIZE // 2], tl.int32)
    for k in range(15):
        threshold = tl.load(thresholds_ptr + k)
        even_code += (even * inverse > threshold).to(tl.int32)
        odd_code += (odd * inverse > threshold).to(tl.int32)
    packed = even_code * 16 + odd_code
    tl.store(codes_ptr + i // 2, packed.to(tl.uint8), mask=i < n)


@quantizes.right
@triton.jit
def quantize_kernel(x_ptr, thresholds_ptr, codes_ptr, absmax_ptr, n, BLOCK_SIZE: tl.constexpr):
    pid = tl.program_id(0)
    offsets = pid * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    absmax = tl.max(tl.abs(x))
    tl.store(absmax_ptr + pid, absmax, mask=pid * BLOCK_SIZE < n)
    y = tl.where(absmax == 0, 0.0, x / absmax)
    k = tl.arange(0, 16)
    thresholds = tl.load(thresholds_ptr + k, mask=k < 15, other=float("inf"))
    codes = tl.sum((y[:, None] > thresholds[None, :]).to(tl.int32), axis=1)
    high, low = tl.split(tl.reshape(codes, (BLOCK_SIZE // 2, 2)))
    j = pid * (BLOCK_SIZE // 2) + tl.arange(0, BLOCK_SIZE // 2)
    tl.store(codes_ptr + j, ((high << 4) | low).to(tl.uint8), mask=j < n // 2)


@quantizes.right
@triton.jit
def quantize_kernel(x_ptr, thresholds_ptr, codes_ptr, absmax_ptr, n, BLOCK_SIZE: tl.constexpr):
    start = tl.program_id(0) * BLOCK_SIZE
    absmax = tl.abs(tl.load(x_ptr + start))
    for k in range(1, BLOCK_SIZE):
        if start + k < n:
            absmax = tl.maximum(absmax, tl.abs(tl.load(x_ptr + start + k)))
    tl.store(absmax_ptr + tl.program_id(0), absmax)
    for pair in range(BLOCK_SIZE // 2):
        i = start + 2 * pair
        if i < n:
            byte = 0
            for half in range(2):
                value = tl.load(x_ptr + i + half)
                code = 7
                if absmax > 0:
                    code = 0
                    for k in range(15):
                        if value / absmax > tl.load(thresholds_ptr + k):
                            code += 1
                byte = byte * 16 + code
            tl.store(codes_ptr + i // 2, byte)


@quantizes.right
@triton.jit
def quantize_kernel(x_ptr, thresholds_ptr, codes_ptr, absmax_ptr, n, BLOCK_SIZE: tl.constexpr):
    pid = tl.program_id(0)
    i = pid * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE // 2)[:, None] * 2 + tl.arange(0, 2)[None, :]
    x = tl.load(x_ptr + i, mask=i < n, other=0.0)
    absmax = tl.max(tl.max(tl.abs(x), axis=1), axis=0)
    tl.store(absmax_ptr + pid, absmax)
    y = x / tl.maximum(absmax, 1e-38)
    code = tl.zeros_like(i)
    for step in tl.static_range(4):  # a binary search: 8, 4, 2, 1
        size = 8 >> step
        code += tl.where(y > tl.load(thresholds_ptr + code + size - 1), size, 0)
    weight = tl.where(tl.arange(0, 2) == 0, 16, 1)
    byte = tl.sum(code * weight[None, :], axis=1)
    j = pid * BLOCK_SIZE // 2 + tl.arange(0, BLOCK_SIZE // 2)
    tl.store(codes_ptr + j, byte.to(tl.uint8), mask=2 * j < n)


quantizes.edit(
    "the sign is not dropped",
    "Your absmax is the largest number of the block, not the largest absolute value.",
    ("tl.maximum(tl.abs(even), tl.abs(odd))", "tl.maximum(even, odd)"),
)
quantizes.edit(
    "a tie goes up",
    "You give a number that equals a threshold the higher code. It has not passed it: use >.",
    ("even * inverse > threshold", "even * inverse >= threshold"),
    ("odd * inverse > threshold", "odd * inverse >= threshold"),
)
quantizes.edit(
    "the halves of a byte are swapped",
    "You put the even element into the low half of the byte. It belongs in the high half.",
    ("even_code * 16 + odd_code", "odd_code * 16 + even_code"),
)
quantizes.edit(
    "the absmax of the even elements",
    "Your absmax looks at the even elements only. Both halves of the bytes count.",
    ("tl.maximum(tl.abs(even), tl.abs(odd))", "tl.abs(even)"),
)
quantizes.edit(
    "0 / 0 in a block of zeros",
    "In a block of zeros all your codes are 0, the level -1; they should be 7. 0 times 1 / 0 is "
    "NaN, which passes no threshold.",
    ("tl.where(absmax > 0, absmax, 1.0)", "absmax"),
)
quantizes.edit(
    "a small number is added to absmax",
    "You add 1e-8 to absmax against the division by zero. A block of tiny numbers then gets codes "
    "as if it were all zeros.",
    ("tl.where(absmax > 0, absmax, 1.0)", "(absmax + 1e-8)"),
)
quantizes.edit(
    "not divided by absmax",
    "You compare the numbers themselves with the thresholds. Divide them by absmax first.",
    ("1.0 / tl.where(absmax > 0, absmax, 1.0)", "1.0"),
)
quantizes.edit(
    "the inverse is stored",
    "You store 1 / absmax. Dequantizing multiplies by what is stored, so it has to be absmax.",
    ("tl.store(absmax_ptr + block, absmax)", "tl.store(absmax_ptr + block, 1.0 / absmax)"),
)
quantizes.edit(
    "the last threshold is left out",
    "You compare with 14 thresholds: nothing gets code 15. There are 15 of them.",
    ("range(15)", "range(14)"),
)
quantizes.edit(
    "a threshold too many",
    "You read 16 thresholds; there are 15, one between each two of 16 levels.",
    ("range(15)", "range(16)"),
)
quantizes.edit(
    "the end counts as ones",
    "You fill up a short last block with ones, so that its absmax is at least 1. Zeros do not "
    "show.",
    ("mask=i < n, other=0.0", "mask=i < n, other=1.0"),
)
quantizes.edit(
    "the end counts as minus infinity",
    "You fill up a short last block with minus infinity, as one does for a maximum. But tl.abs "
    "makes plus infinity of it.",
    ("mask=i < n, other=0.0", 'mask=i < n, other=-float("inf")'),
)
quantizes.edit(
    "loaded without a mask",
    "Your last program reads past the end of x where the last block is short: mask both loads.",
    (", mask=i < n, other=0.0", ""),
    (", mask=i + 1 < n, other=0.0", ""),
)
quantizes.edit(
    "stored without a mask",
    "Your last program writes past the end of the codes where the last block is short.",
    ("packed.to(tl.uint8), mask=i < n", "packed.to(tl.uint8)"),
)
quantizes.edit(
    "one byte an element",
    "You write the byte of elements i and i + 1 to place i. Two elements share a byte: place i // "
    "2.",
    ("codes_ptr + i // 2", "codes_ptr + i"),
)
quantizes.edit(
    "scales BLOCK_SIZE apart",
    "Your program writes its absmax at block * BLOCK_SIZE. There is one a block, at place `block`.",
    ("absmax_ptr + block", "absmax_ptr + block * BLOCK_SIZE"),
)
quantizes.edit(
    "the first code times 15",
    "You multiply the even code by 15. A half byte has 16 values, so the next one counts 16.",
    ("even_code * 16", "even_code * 15"),
)
quantizes.edit(
    "every program takes the first block",
    "Your programs all read the first block: element i of program p is p * BLOCK_SIZE further on.",
    ("x_ptr + i, mask=i < n", "x_ptr + i - block * BLOCK_SIZE, mask=i < n"),
    ("x_ptr + i + 1, mask=i + 1 < n", "x_ptr + i + 1 - block * BLOCK_SIZE, mask=i + 1 < n"),
)
quantizes.edit(
    "loaded without `other`",
    "You leave out what masked elements count as.",
    (", other=0.0)\n    odd", ")\n    odd"),
    (", other=0.0)\n    absmax", ")\n    absmax"),
    equivalent="Triton calls such elements undefined; its interpreter makes them 0, so no run of "
    "it can tell. Write other=0.0 all the same.",
)


@quantizes.mistake(
    "halves of the block",
    "You pair an element with the one half a block further on. Neighbours share a byte.",
)
@triton.jit
def quantize_kernel(x_ptr, thresholds_ptr, codes_ptr, absmax_ptr, n, BLOCK_SIZE: tl.constexpr):
    HALF: tl.constexpr = BLOCK_SIZE // 2
    block = tl.program_id(0)
    i = block * BLOCK_SIZE + tl.arange(0, HALF)
    first = tl.load(x_ptr + i, mask=i < n, other=0.0)
    second = tl.load(x_ptr + i + HALF, mask=i + HALF < n, other=0.0)
    absmax = tl.max(tl.maximum(tl.abs(first), tl.abs(second)), axis=0)
    tl.store(absmax_ptr + block, absmax)
    inverse = 1.0 / tl.where(absmax > 0, absmax, 1.0)
    high = tl.zeros([HALF], tl.int32)
    low = tl.zeros([HALF], tl.int32)
    for k in range(15):
        threshold = tl.load(thresholds_ptr + k)
        high += (first * inverse > threshold).to(tl.int32)
        low += (second * inverse > threshold).to(tl.int32)
    j = block * HALF + tl.arange(0, HALF)
    tl.store(codes_ptr + j, (high * 16 + low).to(tl.uint8), mask=2 * j < n)


@quantizes.mistake(
    "the number with its sign",
    "You store the number that is largest in absolute value, with its sign: where it is negative "
    "all signs of the block turn around.",
)
@triton.jit
def quantize_kernel(x_ptr, thresholds_ptr, codes_ptr, absmax_ptr, n, BLOCK_SIZE: tl.constexpr):
    block = tl.program_id(0)
    i = block * BLOCK_SIZE + 2 * tl.arange(0, BLOCK_SIZE // 2)
    even = tl.load(x_ptr + i, mask=i < n, other=0.0)
    odd = tl.load(x_ptr + i + 1, mask=i < n, other=0.0)
    largest = tl.max(tl.maximum(even, odd), axis=0)
    smallest = tl.min(tl.minimum(even, odd), axis=0)
    absmax = tl.where(-smallest > largest, smallest, largest)
    tl.store(absmax_ptr + block, absmax)
    inverse = 1.0 / tl.where(absmax == 0, 1.0, absmax)
    high = tl.zeros([BLOCK_SIZE // 2], tl.int32)
    low = tl.zeros([BLOCK_SIZE // 2], tl.int32)
    for k in range(15):
        threshold = tl.load(thresholds_ptr + k)
        high += (even * inverse > threshold).to(tl.int32)
        low += (odd * inverse > threshold).to(tl.int32)
    tl.store(codes_ptr + i // 2, (high * 16 + low).to(tl.uint8), mask=i < n)


quantizes.edit(
    "the safe absmax is stored",
    "You store what you divide by, which is 1 in a block of zeros. The absmax is 0 there.",
    (
        "tl.store(absmax_ptr + block, absmax)",
        "tl.store(absmax_ptr + block, tl.where(absmax > 0, absmax, 1.0))",
    ),
)
quantizes.edit(
    "absmax is not stored",
    "You never write absmax: store it at absmax_ptr + the number of the program.",
    ("    tl.store(absmax_ptr + block, absmax)\n", ""),
)
quantizes.edit(
    "all absmax at the first place",
    "All your programs write their absmax to the first place. Program p writes to absmax_ptr + p.",
    ("tl.store(absmax_ptr + block, absmax)", "tl.store(absmax_ptr, absmax)"),
)
quantizes.edit(
    "the first threshold is left out",
    "Your loop begins at threshold 1: each number above the first threshold gets a code too low.",
    ("range(15)", "range(1, 15)"),
)
quantizes.edit(
    "the codes BLOCK_SIZE bytes apart",
    "The codes of your program p begin at byte p * BLOCK_SIZE. A block fills only BLOCK_SIZE // 2 "
    "bytes.",
    (
        "codes_ptr + i // 2",
        "codes_ptr + block * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE // 2)",
    ),
)
quantizes.edit(
    "blocks of 64",
    "Your program p begins at element p * 64 whatever BLOCK_SIZE is.",
    ("i = block * BLOCK_SIZE", "i = block * 64"),
)
quantizes.edit(
    "only whole blocks",
    "You skip the last block unless it is full. It is quantized like the others.",
    (
        "    absmax = tl.max",
        "    if (block + 1) * BLOCK_SIZE > n:\n        return\n    absmax = tl.max",
    ),
)
quantizes.edit(
    "the root of the sum of squares",
    "Your absmax is the length of the block as a vector, the root of the sum of squares. It should "
    "be the largest absolute value.",
    (
        "tl.max(tl.maximum(tl.abs(even), tl.abs(odd)), axis=0)",
        "tl.sqrt(tl.sum(even * even + odd * odd, axis=0))",
    ),
)
quantizes.edit(
    "a block of zeros gets code 8",
    "In a block of zeros your codes are 8, a level above 0. Level 7 is 0.",
    (
        "packed = even_code * 16 + odd_code",
        "packed = tl.where(absmax > 0, even_code * 16 + odd_code, 136)",
    ),
)
quantizes.edit(
    "equal steps",
    "You round to 16 equal steps and never look at the thresholds.",
    (
        "packed = even_code * 16 + odd_code",
        "packed = ((even * inverse + 1) * 7.5).to(tl.int32) * 16\n"
        "    packed += ((odd * inverse + 1) * 7.5).to(tl.int32)",
    ),
)
quantizes.edit(
    "thresholds above",
    "You count the thresholds above the number, so the codes run backwards.",
    ("even * inverse > threshold", "even * inverse < threshold"),
    ("odd * inverse > threshold", "odd * inverse < threshold"),
)
quantizes.edit(
    "compared in half precision",
    "You round x / absmax to fp16 before you compare: a number near a threshold changes sides.",
    ("even * inverse > threshold", "(even * inverse).to(tl.float16).to(tl.float32) > threshold"),
    ("odd * inverse > threshold", "(odd * inverse).to(tl.float16).to(tl.float32) > threshold"),
)
