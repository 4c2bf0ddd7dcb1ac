//! Numbers of BSON's four types on one line, compared by value and not by type.
//!
//! Doubles are brought to 34 decimal digits, as many as Decimal128 has: two numbers that differ only beyond them are
//! taken for equal. Exact arithmetic would need big integers for a case that no key has.

use std::cmp::Ordering;

use crate::element::{Value, fixed, kind};

/// Digits of a Decimal128's coefficient.
const DIGITS: u32 = 34;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Nan,
    NegativeInfinity,
    Finite(Decimal),
    PositiveInfinity,
}

/// `sign * coefficient * 10^exponent`, the coefficient having exactly [`DIGITS`] digits or being zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    exponent: i32,
    coefficient: u128,
}

impl Number {
    pub(crate) fn of(value: Value<'_>) -> Option<Self> {
        match value.kind {
            kind::DOUBLE => Some(Self::of_double(f64::from_le_bytes(fixed(value.bytes)))),
            kind::INT32 => Some(Self::of_integer(i32::from_le_bytes(fixed(value.bytes)).into())),
            kind::INT64 => Some(Self::of_integer(i64::from_le_bytes(fixed(value.bytes)))),
            kind::DECIMAL128 => Some(Self::of_decimal128(u128::from_le_bytes(fixed(value.bytes)))),
            _ => None,
        }
    }

    pub(crate) fn is_nan(self) -> bool {
        matches!(self, Self::Nan)
    }

    pub(crate) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Finite(left), Self::Finite(right)) => left.compare(right),
            _ => self.place().cmp(&other.place()),
        }
    }

    fn place(self) -> u8 {
        match self {
            Self::Nan => 0,
            Self::NegativeInfinity => 1,
            Self::Finite(_) => 2,
            Self::PositiveInfinity => 3,
        }
    }

    fn of_integer(number: i64) -> Self {
        Self::Finite(Decimal::new(number < 0, number.unsigned_abs().into(), 0))
    }

    fn of_double(number: f64) -> Self {
        if number.is_nan() {
            return Self::Nan;
        }
        if number.is_infinite() {
            return if number < 0.0 { Self::NegativeInfinity } else { Self::PositiveInfinity };
        }
        let scientific = format!("{:.*e}", DIGITS as usize - 1, number.abs());
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let coefficient = digits.replace('.', "").parse().unwrap_or_default();
        let exponent = exponent.parse().unwrap_or(0) - (DIGITS as i32 - 1);
        Self::Finite(Decimal::new(number < 0.0, coefficient, exponent))
    }

    /// Reads the binary integer encoding of IEEE 754-2008 that BSON prescribes.
    fn of_decimal128(bits: u128) -> Self {
        let negative = bits >> 127 == 1;
        match (bits >> 122) & 0x1f {
            0x1f => return Self::Nan,
            0x1e if negative => return Self::NegativeInfinity,
            0x1e => return Self::PositiveInfinity,
            _ => {}
        }
        // Two leading ones shift the exponent and announce a coefficient that is too large to be canonical: it is zero.
        let (exponent, coefficient) =
            if (bits >> 125) & 3 == 3 { (bits >> 111, 0) } else { (bits >> 113, bits & ((1 << 113) - 1)) };
        let exponent = (exponent & 0x3fff) as i32 - 6176;
        Self::Finite(Decimal::new(negative, coefficient, exponent))
    }
}

impl Decimal {
    fn new(negative: bool, mut coefficient: u128, mut exponent: i32) -> Self {
        if coefficient == 0 {
            return Self { negative: false, exponent: 0, coefficient };
        }
        let smallest = 10_u128.pow(DIGITS - 1);
        while coefficient < smallest {
            coefficient *= 10;
            exponent -= 1;
        }
        Self { negative, exponent, coefficient }
    }

    fn compare(self, other: Self) -> Ordering {
        match (self.sign(), other.sign()) {
            (1, 1) => self.compare_size(other),
            (-1, -1) => other.compare_size(self),
            (left, right) => left.cmp(&right),
        }
    }

    fn sign(self) -> i8 {
        match (self.coefficient, self.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }
    }

    /// All coefficients have the same number of digits, so the larger exponent is the larger number.
    fn compare_size(self, other: Self) -> Ordering {
        self.exponent.cmp(&other.exponent).then(self.coefficient.cmp(&other.coefficient))
    }
}
