//! Stage 1: bytes to text across chunk borders.
//!
//! Holds at most three bytes: the start of a code point whose rest has not come. What comes out does
//! not depend on where the bytes were cut (P1).

/// What happens to bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidUtf8 {
    /// The document fails, naming the byte.
    Reject,
    /// Each maximal invalid part (Unicode 3.9, "maximal subpart") becomes one U+FFFD.
    Replace,
}

/// A stretch of decoded input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// Valid text.
    Text(&'a str),
    /// An invalid part of so many bytes, which stands for one U+FFFD.
    Invalid(u64),
}

/// Decodes UTF-8 that arrives in pieces.
#[derive(Debug, Default)]
pub struct Utf8Decoder {
    /// The start of an unfinished code point: valid so far.
    carry: [u8; 4],
    carried: usize,
}

impl Utf8Decoder {
    /// Bytes of an unfinished code point that wait for their rest (0 to 3).
    #[must_use]
    pub fn carried(&self) -> usize {
        self.carried
    }

    /// Decodes `bytes` and hands each stretch to `sink`, in order.
    pub fn push(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(Decoded<'_>)) {
        while self.carried > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return };
            self.carry[self.carried] = byte;
            match std::str::from_utf8(&self.carry[..=self.carried]) {
                Ok(text) => {
                    sink(Decoded::Text(text));
                    self.carried = 0;
                    bytes = rest;
                }
                Err(error) if error.error_len().is_none() => {
                    self.carried += 1;
                    bytes = rest;
                }
                // The carried bytes alone are the invalid part; `byte` starts something new.
                Err(_) => {
                    sink(Decoded::Invalid(self.carried as u64));
                    self.carried = 0;
                }
            }
        }
        let mut rest = bytes.len();
        for part in bytes.utf8_chunks() {
            if !part.valid().is_empty() {
                sink(Decoded::Text(part.valid()));
            }
            let invalid = part.invalid();
            rest -= part.valid().len() + invalid.len();
            if rest == 0 && std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none()) {
                self.carry[..invalid.len()].copy_from_slice(invalid);
                self.carried = invalid.len();
            } else if !invalid.is_empty() {
                sink(Decoded::Invalid(invalid.len() as u64));
            }
        }
    }

    /// Ends the input: an unfinished code point is an invalid part.
    pub fn finish(&mut self, sink: &mut impl FnMut(Decoded<'_>)) {
        if self.carried > 0 {
            sink(Decoded::Invalid(self.carried as u64));
            self.carried = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(cuts: &[&[u8]]) -> (String, Vec<u64>) {
        let mut decoder = Utf8Decoder::default();
        let mut text = String::new();
        let mut invalid = Vec::new();
        let mut sink = |decoded: Decoded<'_>| match decoded {
            Decoded::Text(valid) => text.push_str(valid),
            Decoded::Invalid(bytes) => {
                text.push('\u{fffd}');
                invalid.push(bytes);
            }
        };
        for bytes in cuts {
            decoder.push(bytes, &mut sink);
        }
        decoder.finish(&mut sink);
        (text, invalid)
    }

    #[test]
    fn equals_the_standard_library_for_every_cut_in_two() {
        let samples: [&[u8]; 7] = [
            "naïve 😀 नमस्ते".as_bytes(),
            b"\xff\xfe\xf0\x9f\x98",
            b"a\xe2\x82z\xe2\x82\xac",
            b"\xf0\x9f\x98\x80\xed\xa0\x80",
            b"\xc0\x80\xf4\x90\x80\x80",
            b"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf",
            b"",
        ];
        for bytes in samples {
            let expected = String::from_utf8_lossy(bytes);
            for cut in 0..=bytes.len() {
                let (text, invalid) = decode(&[&bytes[..cut], &bytes[cut..]]);
                assert_eq!(text, expected, "cut at {cut} of {bytes:x?}");
                let single: Vec<&[u8]> = bytes.chunks(1).collect();
                assert_eq!(decode(&single), (text, invalid), "byte by byte {bytes:x?}");
            }
        }
    }
}
