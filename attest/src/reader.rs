//! **Duty.** Reads little-endian fields from hostile bytes; every read is checked and names what it wanted.
//! **Does not know** any format.

use crate::error::{EvidenceError, Failure};

/// A cursor over bytes that nobody vouches for.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    code: &'static str,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte; every refusal carries `code`.
    pub(crate) const fn new(bytes: &'a [u8], code: &'static str) -> Self {
        Self { bytes, position: 0, code }
    }

    /// Takes `count` bytes.
    pub(crate) fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], EvidenceError> {
        let end = self.position.checked_add(count);
        let Some((end, taken)) = end.and_then(|end| Some((end, self.bytes.get(self.position..end)?))) else {
            let left = self.rest().len();
            return Err(
                self.malformed(format!("{what} needs {count} bytes at offset {}, {left} are left", self.position))
            );
        };
        self.position = end;
        Ok(taken)
    }

    /// Takes `count` bytes as an input of their own, under the same code.
    pub(crate) fn inside(&mut self, count: usize, what: &str) -> Result<Self, EvidenceError> {
        let code = self.code;
        self.take(count, what).map(|bytes| Self::new(bytes, code))
    }

    /// Takes a fixed-size array.
    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], EvidenceError> {
        let taken = self.take(N, what)?;
        taken.try_into().map_err(|_| self.malformed(format!("{what} is not {N} bytes")))
    }

    /// Takes one byte.
    pub(crate) fn u8(&mut self, what: &str) -> Result<u8, EvidenceError> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    /// Takes a `u16`.
    pub(crate) fn u16(&mut self, what: &str) -> Result<u16, EvidenceError> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// Takes a three-byte length.
    pub(crate) fn length24(&mut self, what: &str) -> Result<usize, EvidenceError> {
        let [a, b, c] = self.array(what)?;
        self.size(u32::from_le_bytes([a, b, c, 0]), what)
    }

    /// Takes a `u32` length.
    pub(crate) fn length32(&mut self, what: &str) -> Result<usize, EvidenceError> {
        let length = u32::from_le_bytes(self.array(what)?);
        self.size(length, what)
    }

    /// Bytes taken so far.
    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    /// Bytes not yet taken.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    /// Demands that everything was taken.
    pub(crate) fn end(&self, what: &str) -> Result<(), EvidenceError> {
        match self.rest().len() {
            0 => Ok(()),
            extra => Err(self.malformed(format!("{extra} bytes follow {what}"))),
        }
    }

    /// A refusal under this reader's code.
    pub(crate) fn malformed(&self, message: String) -> EvidenceError {
        EvidenceError::Malformed(Failure::new(self.code, message).into())
    }

    fn size(&self, length: u32, what: &str) -> Result<usize, EvidenceError> {
        usize::try_from(length).map_err(|_| self.malformed(format!("{what} of {length} bytes cannot be addressed")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_end_or_the_address_space_is_refused() {
        let mut reader = Reader::new(&[1, 2, 3], "short");
        assert_eq!(reader.u8("flag").unwrap(), 1);
        for count in [3, usize::MAX] {
            assert_eq!(reader.take(count, "body").unwrap_err().code(), "short");
        }
        assert_eq!((reader.position(), reader.rest()), (1, &[2u8, 3][..]));
        let message = reader.end("the flag").unwrap_err().to_string();
        assert_eq!(message, "malformed evidence: 2 bytes follow the flag [short]");
    }
}
