//! Every claim holds for the seeds and for variants of them.

use std::path::Path;

use fastrand::Rng;

/// Variants of each seed.
const VARIANTS: u64 = 1_000;

/// What parsers stumble over.
const TOKENS: [&[u8]; 16] = [
    b"{",
    b"}",
    b"[[[[[[[[",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"-0",
    b"1e999",
    b"\xff\xfe",
    b"\n\n",
    b"{{",
    b"{% for a in range(9999) %}",
    b"null",
    b"*/0",
    b"((((((",
    b"18446744073709551616",
];

fn try_all(target: fn(&[u8]), name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(name);
    let mut seeds: Vec<_> = std::fs::read_dir(&folder)
        .expect("the seeds")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} is empty", folder.display());
    for seed in seeds {
        let data = std::fs::read(&seed).expect("a seed");
        target(&data);
        for variant in 0..VARIANTS {
            target(&changed(data.clone(), &mut Rng::with_seed(variant)));
        }
    }
}

/// One to four changes.
fn changed(mut data: Vec<u8>, random: &mut Rng) -> Vec<u8> {
    for _ in 0..random.u8(1..=4) {
        let at = random.usize(0..=data.len());
        match random.u8(0..5) {
            0 => data.truncate(at),
            1 if at < data.len() => data[at] = random.u8(..),
            2 if at < data.len() => {
                data.remove(at);
            }
            3 => {
                let repeated = data[..at].to_vec();
                data.splice(at..at, repeated);
            }
            _ => {
                let token = TOKENS[random.usize(0..TOKENS.len())];
                data.splice(at..at, token.iter().copied());
            }
        }
    }
    data
}

#[test]
fn envelopes_are_read_or_refused() {
    try_all(crate::envelope, "envelope");
}

#[test]
fn filters_decide_on_any_payload() {
    try_all(crate::filter, "filter");
}

#[test]
fn conditions_come_to_an_end() {
    try_all(crate::condition, "condition");
}

#[test]
fn prompts_come_to_an_end() {
    try_all(crate::template, "template");
}

#[test]
fn specs_are_accepted_for_good_or_refused() {
    try_all(crate::definition, "definition");
}

#[test]
fn bodies_are_read_as_they_were_written() {
    try_all(crate::rest_body, "rest-body");
}
