//! `message::parse` over what a directory sends.
//! Reading ends whatever comes; what is read is no longer than what was sent.

#![no_main]
#![expect(dead_code, reason = "the rooms are taken whole, and one function of them is asked")]

#[path = "../../../src/auth/directory/ber.rs"]
mod ber;
#[path = "../../../src/auth/directory/error.rs"]
mod error;
#[path = "../../../src/auth/directory/filter.rs"]
mod filter;
#[path = "../../../src/auth/directory/message.rs"]
mod message;
#[path = "../../../src/auth/directory/name.rs"]
mod name;

use libfuzzer_sys::fuzz_target;
use message::Reply;

fuzz_target!(|input: &[u8]| {
    let Ok((id, reply)) = message::parse(input) else { return };
    assert_eq!(message::parse(input), Ok((id, reply.clone())));
    let read = match &reply {
        Reply::Aside => 0,
        // The server's words are shown and not kept: what is no UTF-8 of them may become longer.
        Reply::Bound(outcome) | Reply::Extended(outcome) => {
            assert!(outcome.text.chars().count() <= 200);
            0
        }
        Reply::Done(_, cookie) => cookie.len(),
        Reply::Entry(entry) => {
            let lengths =
                |(name, values): &(String, Vec<Vec<u8>>)| name.len() + values.iter().map(Vec::len).sum::<usize>();
            let values = entry.attributes.iter().map(lengths);
            entry.dn.len() + values.sum::<usize>()
        }
    };
    assert!(read <= input.len());
});
