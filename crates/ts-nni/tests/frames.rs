//! Frames of nni v1.9 to v2.7: byte for byte, cut anywhere, and nonsense.

use proptest::prelude::*;
use ts_core::ErrorKind;
use ts_nni::{FrameDecoder, Message, encode_frame};

fn message(code: &str, content: &str) -> Message {
    Message::new(code.as_bytes().try_into().unwrap(), content)
}

#[test]
fn the_bytes_are_those_of_nni() {
    // Taken from nni v1.9 by running it.
    for (code, content, bytes) in [
        (
            "IN",
            r#"{"x": {"_type": "choice", "_value": [1]}}"#,
            r#"IN00000000000041{"x": {"_type": "choice", "_value": [1]}}"#,
        ),
        ("GE", "3", "GE000000000000013"),
        ("KI", r#""abcde""#, r#"KI00000000000007"abcde""#),
        ("TE", "", "TE00000000000000"),
    ] {
        assert_eq!(String::from_utf8(encode_frame(&message(code, content))).unwrap(), bytes);
    }
}

#[test]
fn nonsense_is_an_error_and_not_waited_for() {
    for bytes in [
        "IN000000000000x1{",
        "I\u{1}00000000000001{",
        "IN99999999999999",
        "Traceback (most ",
    ] {
        let mut decoder = FrameDecoder::default();
        decoder.push(bytes.as_bytes());
        assert_eq!(
            decoder.next_message().unwrap_err().kind(),
            ErrorKind::Protocol,
            "{bytes}"
        );
    }
    let mut decoder = FrameDecoder::default();
    decoder.push(b"IN00000000000001\xff");
    assert!(decoder.next_message().is_err());
}

proptest! {
    #[test]
    fn messages_survive_any_cut(
        contents in proptest::collection::vec("\\PC{0,40}", 1..8),
        cuts in proptest::collection::vec(1usize..40, 1..60),
    ) {
        let sent: Vec<_> = contents.iter().map(|content| message("TR", content)).collect();
        let bytes: Vec<u8> = sent.iter().flat_map(encode_frame).collect();
        let (mut decoder, mut heard, mut rest) = (FrameDecoder::default(), Vec::new(), bytes.as_slice());
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            decoder.push(now);
            while let Some(message) = decoder.next_message().unwrap() {
                heard.push(message);
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(decoder.is_empty());
        prop_assert_eq!(heard, sent);
    }

    #[test]
    fn any_bytes_give_messages_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut decoder = FrameDecoder::default();
        decoder.push(&bytes);
        while let Ok(Some(_)) = decoder.next_message() {}
    }
}
