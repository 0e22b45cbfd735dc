//! Where a part of the input starts, counted as the wire counts.

/// A position in the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// In bytes.
    pub(super) bytes: u64,
    /// In code points; an invalid part is one.
    pub(super) chars: u64,
    /// In UTF-16 code units; an invalid part is one.
    pub(super) utf16: u64,
}

impl Place {
    /// Goes past `text`, which starts and ends between characters.
    pub(super) fn pass(&mut self, text: &[u8]) {
        self.bytes += text.len() as u64;
        for part in text.utf8_chunks() {
            self.chars += part.valid().chars().count() as u64;
            self.utf16 += part.valid().encode_utf16().count() as u64;
            let replaced = u64::from(!part.invalid().is_empty());
            self.chars += replaced;
            self.utf16 += replaced;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_counted_and_an_invalid_part_is_one_character() {
        let mut place = Place::default();
        place.pass("aé".as_bytes());
        assert_eq!(place, Place { bytes: 3, chars: 2, utf16: 2 });
        place.pass("😀".as_bytes());
        assert_eq!(place, Place { bytes: 7, chars: 3, utf16: 4 });
        place.pass(b"\xff\xe2\x82x");
        assert_eq!(place, Place { bytes: 11, chars: 6, utf16: 7 });
    }
}
