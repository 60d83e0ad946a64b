//! The 32 hexadecimal digits of an id, written and read at once: each call with an id does one of the two.
//!
//! Where the processor is known to have vectors of 16 bytes they do it, in half of the instructions.

/// Digits in order, as they lie in memory.
pub(super) type Digits = [[u8; 8]; 4];

#[cfg(not(target_arch = "x86_64"))]
pub(super) use words::{read, write};

#[cfg(target_arch = "x86_64")]
pub(super) use vectors::{read, write};

#[cfg(target_arch = "x86_64")]
mod vectors {
    use super::Digits;
    use safe_arch::{
        add_i8_m128i, cmp_eq_mask_i8_m128i, cmp_gt_mask_i8_m128i, get_i64_from_m128i_s, m128i,
        min_u8_m128i, move_mask_i8_m128i, pack_i16_to_u8_m128i, set_i64_m128i, set_splat_i8_m128i,
        set_splat_i16_m128i, shl_imm_u16_m128i, shr_imm_u16_m128i, sub_i8_m128i,
        unpack_high_i8_m128i, unpack_high_i64_m128i, unpack_low_i8_m128i,
    };

    #[inline]
    fn vector([low, high]: [u64; 2]) -> m128i {
        set_i64_m128i(high.cast_signed(), low.cast_signed())
    }

    #[inline]
    fn halves(vector: m128i) -> [u64; 2] {
        let high = unpack_high_i64_m128i(vector, vector);
        [vector, high].map(|half| get_i64_from_m128i_s(half).cast_unsigned())
    }

    #[inline]
    fn all(byte: u8) -> m128i {
        set_splat_i8_m128i(byte.cast_signed())
    }

    /// The lower-case digits of a number.
    #[inline]
    pub(in crate::jobs) fn write(id: [u64; 2]) -> Digits {
        let bytes = vector(id.map(u64::swap_bytes));
        let high = shr_imm_u16_m128i::<4>(bytes) & all(0x0f);
        let low = bytes & all(0x0f);
        let digits = |nibbles| {
            let letters = cmp_gt_mask_i8_m128i(nibbles, all(9));
            let letters = letters & all(b'a' - b'0' - 10);
            halves(add_i8_m128i(add_i8_m128i(nibbles, all(b'0')), letters))
        };
        let [a, b] = digits(unpack_low_i8_m128i(high, low));
        let [c, d] = digits(unpack_high_i8_m128i(high, low));
        [a, b, c, d].map(u64::to_le_bytes)
    }

    /// The number of these digits, if all of them are lower-case ones.
    #[inline]
    pub(in crate::jobs) fn read(digits: &Digits) -> Option<[u64; 2]> {
        let [a, b, c, d] = digits.map(u64::from_le_bytes);
        let (first, first_right) = read_half(vector([a, b]));
        let (second, second_right) = read_half(vector([c, d]));
        let right = move_mask_i8_m128i(first_right & second_right);
        let id = halves(pack_i16_to_u8_m128i(first, second)).map(u64::swap_bytes);
        (right == 0xffff).then_some(id)
    }

    /// Eight bytes of 16 digits, each in a lane of two; and which of the digits are some.
    #[inline]
    fn read_half(digits: m128i) -> (m128i, m128i) {
        let up_to = |value, limit| cmp_eq_mask_i8_m128i(min_u8_m128i(value, all(limit)), value);
        let number = sub_i8_m128i(digits, all(b'0'));
        let is_number = up_to(number, 9);
        let letter = sub_i8_m128i(digits, all(b'a'));
        let is_letter = up_to(letter, 5);
        let letter = add_i8_m128i(letter, all(10)) & is_letter;
        let nibbles = number & is_number | letter;
        let pairs = shl_imm_u16_m128i::<4>(nibbles) | shr_imm_u16_m128i::<8>(nibbles);
        (pairs & set_splat_i16_m128i(0xff), is_number | is_letter)
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use super::Digits;

    /// A byte in every lane of a word.
    const fn lanes(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }

    /// The lower-case digits of a number.
    #[inline]
    pub(in crate::jobs) fn write([high, low]: [u64; 2]) -> Digits {
        [
            (high >> 32) as u32,
            high as u32,
            (low >> 32) as u32,
            low as u32,
        ]
        .map(write_word)
    }

    /// The number of these digits, if all of them are lower-case ones.
    #[inline]
    pub(in crate::jobs) fn read(digits: &Digits) -> Option<[u64; 2]> {
        let mut wrong = 0;
        let [a, b, c, d] = digits.map(|digits| u64::from(read_word(digits, &mut wrong)));
        (wrong == 0).then_some([a << 32 | b, c << 32 | d])
    }

    /// The eight digits of a number, the highest first in memory.
    #[inline]
    fn write_word(number: u32) -> [u8; 8] {
        let wide = u64::from(number.swap_bytes());
        let pairs = (wide | wide << 16) & 0x0000_ffff_0000_ffff;
        let bytes = (pairs | pairs << 8) & 0x00ff_00ff_00ff_00ff;
        let nibbles = (bytes >> 4 | bytes << 8) & lanes(0x0f);
        let letters = (nibbles + lanes(6)) >> 4 & lanes(1);
        (nibbles + lanes(b'0') + letters * u64::from(b'a' - b'0' - 10)).to_le_bytes()
    }

    /// The number of eight digits; a bit of `wrong` is set where one is none, or no lower-case one.
    #[inline]
    fn read_word(digits: [u8; 8], wrong: &mut u64) -> u32 {
        let digits = u64::from_le_bytes(digits);
        let letters = digits >> 6 & lanes(1);
        // At most 24 in each lane, as none takes from the next.
        let nibbles = (digits & lanes(0x0f)) + letters * 9;
        // The high halves are those of digits, or of letters; a nibble below ten is a digit's.
        *wrong |= (digits & lanes(0xf0)) ^ (lanes(0x30) + letters * 0x30);
        *wrong |= ((nibbles + lanes(6)) >> 4 & lanes(1)) ^ letters | nibbles & lanes(0x10);
        let bytes = (nibbles << 12 | nibbles) >> 8 & 0x00ff_00ff_00ff_00ff;
        let pairs = (bytes << 24 | bytes) >> 16 & 0x0000_ffff_0000_ffff;
        (pairs << 16 | pairs >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn vectors_and_words_do_the_same(high: u64, low: u64, at in 0..32_usize, byte: u8) {
            let digits = write([high, low]);
            prop_assert_eq!(digits, words::write([high, low]));
            prop_assert_eq!(read(&digits), Some([high, low]));
            prop_assert_eq!(words::read(&digits), Some([high, low]));
            let mut other = digits;
            other[at / 8][at % 8] = byte;
            prop_assert_eq!(read(&other), words::read(&other));
        }
    }
}
