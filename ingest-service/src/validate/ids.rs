//! Rules for device ids, metric names and producer ids.
//!
//! Two ids that look alike must not be two devices. White space at either end, invisible characters
//! and text that is not in Unicode normalization form C are therefore rejected. Series stored
//! before these rules stay readable, because query-service has no such checks.

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, WhiteSpace};
use icu_properties::{CodePointMapData, CodePointSetData};
use shared::proto::v1::RejectionReason as Reason;

use super::PointRefusal;

/// Maximum length of an id in bytes. Two ids fit into an index entry of PostgreSQL.
pub(crate) const ID_MAX_BYTES: usize = 256;

/// Kind of fault in an id.
pub(crate) enum IdFault {
    Empty,
    TooLong,
    Invalid,
}

/// Checks an id. The sentence of an error names the field, the limit and the value found.
pub(crate) fn check<'m>(field: &str, id: &'m [u8]) -> Result<&'m str, (IdFault, String)> {
    if id.is_empty() {
        return Err((
            IdFault::Empty,
            format!("{field} is empty; it needs 1 to {ID_MAX_BYTES} bytes"),
        ));
    }
    if id.len() > ID_MAX_BYTES {
        let sentence = format!("{field} has {} bytes; the limit is {ID_MAX_BYTES}", id.len());
        return Err((IdFault::TooLong, sentence));
    }
    let invalid = |what: String| (IdFault::Invalid, format!("{field} {what}"));
    let id = std::str::from_utf8(id).map_err(|error| invalid(format!("is not UTF-8: {error}")))?;
    match fault(id) {
        Some(fault) => Err(invalid(fault)),
        None => Ok(id),
    }
}

/// Returns the fault in the characters of an id, if there is one, as the end of a sentence.
fn fault(id: &str) -> Option<String> {
    if is_plain(id.as_bytes()) {
        return None;
    }
    let character =
        |(at, character): (usize, char)| format!("U+{:04X} at byte {at}", u32::from(character));
    if let Some(control) = id.char_indices().find(|(_, character)| character.is_control()) {
        return Some(format!("has the control character {}", character(control)));
    }
    let is_space =
        |(_, character): &(usize, char)| CodePointSetData::new::<WhiteSpace>().contains(*character);
    if let Some(first) = id.char_indices().next().filter(is_space) {
        return Some(format!("begins with the white space {}: remove it", character(first)));
    }
    if let Some(last) = id.char_indices().next_back().filter(is_space) {
        return Some(format!("ends with the white space {}: remove it", character(last)));
    }
    if let Some(invisible) = id.char_indices().find(|(_, character)| is_invisible(*character)) {
        return Some(format!("has the invisible character {}: remove it", character(invisible)));
    }
    let (composed, rest) = ComposingNormalizerBorrowed::new_nfc().split_normalized(id);
    let first = rest.chars().next().map(|first| character((composed.len(), first)))?;
    Some(format!("is not in Unicode normalization form C from {first} on: send it composed (NFC)"))
}

/// Returns whether an id is ASCII without control characters and without spaces at either end. Most
/// ids are, and need no Unicode tables.
fn is_plain(id: &[u8]) -> bool {
    let graphic_or_space = id.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
    graphic_or_space && id.first() != Some(&b' ') && id.last() != Some(&b' ')
}

/// Returns whether a character is invisible: zero-width characters, bidirectional controls, the
/// byte-order mark, variation selectors, fillers, line and paragraph separators, and the blank
/// Braille pattern.
fn is_invisible(character: char) -> bool {
    const BRAILLE_BLANK: char = '\u{2800}';
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    character == BRAILLE_BLANK
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
        || [
            GeneralCategory::Format,
            GeneralCategory::LineSeparator,
            GeneralCategory::ParagraphSeparator,
        ]
        .contains(&category)
}

pub(super) fn check_device_id(id: &[u8]) -> Result<&str, PointRefusal> {
    check("device_id", id).map_err(|(fault, sentence)| {
        let reason = match fault {
            IdFault::Empty => Reason::DeviceIdEmpty,
            IdFault::TooLong => Reason::DeviceIdTooLong,
            IdFault::Invalid => Reason::DeviceIdInvalid,
        };
        (reason, sentence)
    })
}

pub(super) fn check_metric_name(name: &[u8]) -> Result<&str, PointRefusal> {
    check("metric_name", name).map_err(|(fault, sentence)| {
        let reason = match fault {
            IdFault::Empty => Reason::MetricNameEmpty,
            IdFault::TooLong => Reason::MetricNameTooLong,
            IdFault::Invalid => Reason::MetricNameInvalid,
        };
        (reason, sentence)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(id: &str) -> Option<String> {
        check("device_id", id.as_bytes()).err().map(|(_, sentence)| sentence)
    }

    #[test]
    fn names_of_every_script_are_accepted_unchanged() {
        for id in [
            "c07",
            "a b",
            "plant/1.temp-ä",
            "Zürich",
            "Αθήνα",
            "東京",
            "ร้าน",
            "한국",
            "हिन्दी",
            "a\u{3000}b",
            "🌡",
        ] {
            assert_eq!(check("device_id", id.as_bytes()).ok(), Some(id));
        }
    }

    #[test]
    fn white_space_at_an_end_is_refused_with_its_code_point_and_byte() {
        assert_eq!(
            fault_of("c07 ").unwrap(),
            "device_id ends with the white space U+0020 at byte 3: remove it"
        );
        assert_eq!(
            fault_of(" c07").unwrap(),
            "device_id begins with the white space U+0020 at byte 0: remove it"
        );
        assert_eq!(
            fault_of("ä\u{a0}").unwrap(),
            "device_id ends with the white space U+00A0 at byte 2: remove it"
        );
        assert_eq!(
            fault_of("\u{3000}c07").unwrap(),
            "device_id begins with the white space U+3000 at byte 0: remove it"
        );
        assert_eq!(
            fault_of(" ").unwrap(),
            "device_id begins with the white space U+0020 at byte 0: remove it"
        );
        assert_eq!(
            fault_of("\u{85}c07").unwrap(),
            "device_id has the control character U+0085 at byte 0"
        );
    }

    #[test]
    fn invisible_characters_are_refused_wherever_they_are() {
        let invisible = [
            0xad, 0x34f, 0x61c, 0x115f, 0x17b4, 0x180e, 0x200b, 0x200c, 0x200d, 0x200e, 0x200f,
            0x202a, 0x202e, 0x2060, 0x2066, 0x2069, 0x2800, 0x3164, 0xfe0f, 0xfeff, 0xffa0, 0xfff9,
            0xe0020, 0xe0100,
        ];
        for code in invisible {
            let character = char::from_u32(code).unwrap();
            for (id, at) in [
                (format!("{character}c07"), 0),
                (format!("c{character}07"), 1),
                (format!("c07{character}"), 3),
            ] {
                let expected = format!(
                    "device_id has the invisible character U+{code:04X} at byte {at}: remove it"
                );
                assert_eq!(fault_of(&id).unwrap(), expected);
            }
        }
        for separator in ['\u{2028}', '\u{2029}'] {
            let expected = format!(
                "device_id has the invisible character U+{:04X} at byte 1: remove it",
                separator as u32
            );
            assert_eq!(fault_of(&format!("c{separator}07")).unwrap(), expected);
        }
    }

    #[test]
    fn only_the_composed_form_of_a_letter_is_accepted() {
        assert_eq!(fault_of("Z\u{fc}rich"), None);
        assert_eq!(
            fault_of("Zu\u{308}rich").unwrap(),
            "device_id is not in Unicode normalization form C from U+0075 at byte 1 on: send it \
             composed (NFC)"
        );
        let angstrom = fault_of("1\u{212b}").unwrap();
        assert!(angstrom.contains("form C from U+212B at byte 1 on"), "{angstrom}");
        assert!(fault_of("\u{1100}\u{1161}").unwrap().contains("form C"), "decomposed Hangul");
    }

    /// The shortcut for ASCII must agree with the Unicode tables.
    #[test]
    fn the_ascii_shortcut_agrees_with_the_unicode_tables() {
        for byte in 0..=0x7f_u8 {
            for id in [vec![byte], vec![byte, b'a'], vec![b'a', byte], vec![b'a', byte, b'a']] {
                let text = std::str::from_utf8(&id).unwrap();
                let ends = [text.chars().next(), text.chars().next_back()];
                let refused = text.chars().any(char::is_control) || ends.contains(&Some(' '));
                assert_eq!(is_plain(&id), !refused, "{text:?}");
                assert_eq!(fault(text).is_none(), !refused, "{text:?}");
            }
        }
    }
}
