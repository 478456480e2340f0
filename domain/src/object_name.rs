//! The name of the custom resource for a name that a person chose.

use sha2::{Digest as _, Sha256};

/// What a DNS label has at most (RFC 1123).
const LONGEST_LABEL: usize = 63;

/// Hexadecimal digits of the hash in a derived name.
const HASH_DIGITS: usize = 12;

/// What a name without a single letter or digit is called.
const NAMELESS: &str = "activity";

/// The object name for `name`: `name` itself where it is a DNS label, else the nearest label and a
/// hash of `name`. Two different names never share an object name: a label that looks as if it
/// were derived is derived as well.
pub fn of_name(name: &str) -> String {
    if is_label(name) && !looks_derived(name) {
        return name.to_owned();
    }
    let label = nearest_label(name);
    let kept = label
        .get(..LONGEST_LABEL - HASH_DIGITS - 1)
        .unwrap_or(&label)
        .trim_end_matches('-');
    let hash = hex::encode(Sha256::digest(name));
    format!("{kept}-{}", &hash[..HASH_DIGITS])
}

/// Lower-case ASCII letters and digits, with one hyphen in place of everything between them.
fn nearest_label(name: &str) -> String {
    let lower = name.to_lowercase();
    let words: Vec<&str> = lower
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() {
        NAMELESS.to_owned()
    } else {
        words.join("-")
    }
}

/// Whether a text is a DNS label in lower case, as Kubernetes wants the names of namespaces.
pub fn is_label(name: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&name.len())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn looks_derived(label: &str) -> bool {
    label.rsplit_once('-').is_some_and(|(_, end)| {
        end.len() == HASH_DIGITS && end.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_that_is_a_label_stays_as_it_is() {
        for name in ["daily-report", "user-onboarding", "0", &"a".repeat(63)] {
            assert_eq!(of_name(name), name);
        }
    }

    #[test]
    fn any_other_name_becomes_the_nearest_label_with_a_hash() {
        let name = of_name("Daily Report (Berlin)");
        assert!(name.starts_with("daily-report-berlin-"), "{name}");
        assert!(of_name("日報").starts_with("activity-"));
        assert!(is_label(&of_name(&"x".repeat(300))));
    }

    #[test]
    fn a_label_that_looks_derived_cannot_take_anothers_place() {
        let derived = of_name("Daily Report");
        assert_ne!(of_name(&derived), derived);
    }

    /// Names that are close to each other, where a collision would be.
    fn names() -> impl Strategy<Value = String> {
        prop_oneof!["[ aA._-]{0,5}", "[a-c-]{60,66}", "\\PC{0,80}"]
    }

    proptest! {
        #[test]
        fn every_object_name_is_a_label(name in names()) {
            prop_assert!(is_label(&of_name(&name)), "{}", of_name(&name));
        }

        #[test]
        fn different_names_have_different_objects(one in names(), other in names()) {
            prop_assume!(one != other);
            prop_assert_ne!(of_name(&one), of_name(&other));
            prop_assert_ne!(of_name(&of_name(&one)), of_name(&other));
        }
    }
}
