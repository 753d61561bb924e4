//! Tables of the parser: NNI's own bytes, and every kind of garbage with what is found behind it.

use super::super::{FrameParser, MAX_SKIPPED, Piece, Problem, frame, line};

/// Pieces as text: `payload`, or `!problem bytes`.
fn pieces(bytes: &[u8], ended: bool) -> Vec<String> {
    let mut parser = FrameParser::new(&[]);
    parser.push(bytes);
    std::iter::from_fn(|| parser.next(ended))
        .map(|piece| show(&piece))
        .collect()
}

fn show(piece: &Piece) -> String {
    match piece {
        Piece::Record { payload, .. } => String::from_utf8_lossy(payload).into_owned(),
        Piece::Skipped { n_bytes, problem } => format!("!{problem:?} {n_bytes}"),
    }
}

/// What NNI v2.10's SDK writes for an intermediate result 0.5, one with a dictionary, and a final result 0.93.
const SDK: [&str; 3] = [
    "ME000098{\"parameter_id\": 0, \"trial_job_id\": \"Ab1cd\", \"type\": \"PERIODICAL\", \"sequence\": 0, \"value\": \"0.5\"}\n",
    "ME000140{\"parameter_id\": 0, \"trial_job_id\": \"Ab1cd\", \"type\": \"PERIODICAL\", \"sequence\": 1, \"value\": \"{\\\"default\\\": 1, \\\"x\\\": NaN, \\\"k\\\": \\\"it's\\\"}\"}\n",
    "ME000094{\"parameter_id\": 0, \"trial_job_id\": \"Ab1cd\", \"type\": \"FINAL\", \"sequence\": 0, \"value\": \"0.93\"}\n",
];

#[test]
fn the_sdk_s_frames_read_and_render_byte_for_byte() {
    let found = pieces(SDK.concat().as_bytes(), false);
    assert_eq!(found.len(), SDK.len());
    for (body, bytes) in found.iter().zip(SDK) {
        assert_eq!(frame(body).unwrap(), bytes.as_bytes());
    }
}

#[test]
fn the_sdk_s_line_reads_and_renders_byte_for_byte() {
    let bytes = "NNISDK_MEb'{\"parameter_id\": 0, \"trial_job_id\": \"Ab1cd\", \"type\": \"FINAL\", \"sequence\": 0, \"value\": \"0.93\"}'\n";
    let found = pieces(bytes.as_bytes(), false);
    assert_eq!(found.len(), 1);
    assert_eq!(line(&found[0]).unwrap(), bytes.as_bytes());
}

#[test]
fn extreme_lengths() {
    let longest = "x".repeat(999_998);
    let mut bytes = b"ME000000ME000001\n".to_vec();
    bytes.extend(frame(&longest).unwrap());
    bytes.extend(line(&longest).unwrap());
    assert_eq!(pieces(&bytes, false), ["", "", &longest, &longest]);
}

macro_rules! parsed {
    ($($name:ident: $bytes:expr => $now:expr, $ended:expr;)*) => { $(
        #[test]
        fn $name() {
            let bytes = Vec::from($bytes);
            let bytes = bytes.as_slice();
            let now: &[&str] = &$now;
            let ended: &[&str] = &$ended;
            assert_eq!(pieces(bytes, false), now, "while the writer runs");
            assert_eq!(pieces(bytes, true), ended, "when the writer has ended");
        }
    )* };
}

parsed! {
    nothing: b"" => [], [];
    forms_mix_freely: b"ME000003{}\nNNISDK_MEb'[]'\nME000003{}\n" => ["{}", "[]", "{}"], ["{}", "[]", "{}"];
    text_before_a_marker_is_dropped: b"epoch 1: NNISDK_MEb'{}'\n" => ["{}"], ["{}"];
    lines_of_text_are_reported: b"hello\nNNISDK_MEb'{}'\n" => ["!NotARecord 6", "{}"], ["!NotARecord 6", "{}"];
    apostrophes_stay: b"NNISDK_MEb'\"it's 'so''\"'\n" => ["\"it's 'so''\""], ["\"it's 'so''\""];
    crlf_ends_a_line: b"NNISDK_MEb'{}'\r\n" => ["{}"], ["{}"];
    json_that_quotes_a_record_is_kept: b"NNISDK_MEb'\"ME000003\"'\n" => ["\"ME000003\""], ["\"ME000003\""];
    nan_stays: b"ME000004NaN\n" => ["NaN"], ["NaN"];

    partial_header_waits: b"ME0000" => [], ["!Incomplete 6"];
    partial_frame_waits: b"ME000098{\"par" => [], ["!Incomplete 13"];
    partial_marker_waits: b"NNISDK_" => [], ["!Incomplete 7"];
    partial_line_waits: b"NNISDK_MEb'{\"a" => [], ["!Incomplete 14"];
    line_without_newline_counts_at_the_end: b"NNISDK_MEb'{}'" => [], ["{}"];
    cut_at_an_apostrophe_is_no_end: b"NNISDK_MEb'\"it'" => [], ["!Incomplete 15"];
    partial_text_waits: b"abc" => [], ["!NotARecord 3"];

    torn_frame_then_good: b"ME000098{\"parME000003{}\n" => ["!WrongLength 13", "{}"], ["!WrongLength 13", "{}"];
    torn_frame_then_two_good: b"ME000020{\"parME000003{}\nME000003[]\n" => ["!WrongLength 13", "{}", "[]"], ["!WrongLength 13", "{}", "[]"];
    torn_frame_of_matching_length: b"ME000016{\"parME000003{}\n" => ["!Torn 13", "{}"], ["!Torn 13", "{}"];
    never_arriving_frame: b"ME999999{\nME000003{}\n" => ["!WrongLength 10", "{}"], ["!WrongLength 10", "{}"];
    length_too_short: b"ME000002{}\nME000003{}\n" => ["!WrongLength 11", "{}"], ["!WrongLength 11", "{}"];
    bad_digits: b"ME00x003{}\nME000003{}\n" => ["!NotARecord 11", "{}"], ["!NotARecord 11", "{}"];
    torn_header: b"ME0000ME000003{}\n" => ["!NotARecord 6", "{}"], ["!NotARecord 6", "{}"];
    interleaved_writers: b"ME000009{\"aME000003{}\n\":1}\nME000003[]\n"
        => ["!WrongLength 11", "{}", "!NotARecord 5", "[]"], ["!WrongLength 11", "{}", "!NotARecord 5", "[]"];
    nuls_between: b"\0\0\0\0ME000003{}\n" => ["!NotARecord 4", "{}"], ["!NotARecord 4", "{}"];
    nuls_before_a_marker_are_no_text: b"a\0NNISDK_MEb'{}'\n" => ["!NotARecord 2", "{}"], ["!NotARecord 2", "{}"];
    nuls_inside: b"ME000098{\"par\0\0\0\0ME000003{}\n" => ["!Hole 17", "{}"], ["!Hole 17", "{}"];
    nuls_inside_a_line: b"NNISDK_MEb'{\0\0\0NNISDK_MEb'{}'\n" => ["!Hole 15", "{}"], ["!Hole 15", "{}"];
    text_behind_the_quote: b"NNISDK_MEb'{}' x\nME000003{}\n" => ["!BadLine 17", "{}"], ["!BadLine 17", "{}"];
    torn_line_then_frame: b"NNISDK_MEb'{\"aME000003{}\n" => ["!BadLine 14", "{}"], ["!BadLine 14", "{}"];
    torn_line_then_line: b"NNISDK_MEb'{\"aNNISDK_MEb'{}'\n" => ["!Torn 14", "{}"], ["!Torn 14", "{}"];
    endless_line: [b"NNISDK_MEb'".to_vec(), vec![b'x'; 1_000_010]].concat() => [], ["!BadLine 1000021"];
}

#[test]
fn a_torn_frame_is_given_up_as_soon_as_its_length_is_disproved() {
    let mut parser = FrameParser::new(&[]);
    parser.push(b"ME000098{\"par");
    assert_eq!(parser.next(false), None);
    let body = format!("\"{}\"", "x".repeat(200));
    parser.push(&frame(&body).unwrap()[..85]);
    assert_eq!(parser.next(false), None, "one byte before the declared end");
    parser.push(&frame(&body).unwrap()[85..]);
    assert_eq!(
        parser.next(false),
        Some(Piece::Skipped {
            n_bytes: 13,
            problem: Problem::WrongLength
        })
    );
    assert_eq!(
        parser.next(false),
        Some(Piece::Record {
            n_bytes: 211,
            payload: body.into_bytes()
        })
    );
}

#[test]
fn endless_garbage_is_reported_in_bounded_pieces_and_memory() {
    let mut parser = FrameParser::new(&[]);
    let mut n_skipped = 0;
    for _ in 0..300 {
        parser.push(&vec![0; 65_536]);
        while let Some(piece) = parser.next(false) {
            assert_eq!(
                piece,
                Piece::Skipped {
                    n_bytes: MAX_SKIPPED as u64,
                    problem: Problem::NotARecord
                }
            );
            n_skipped += MAX_SKIPPED;
        }
    }
    assert!(n_skipped + MAX_SKIPPED > 300 * 65_536);
    assert!(parser.capacity() < 300_000, "{} bytes held", parser.capacity());
}

/// Each of 120,000 headers could wait for the 999,999 bytes behind it; quadratic work would take minutes.
#[test]
fn a_crowd_of_bad_headers_is_linear_work() {
    let mut parser = FrameParser::new(&[]);
    for _ in 0..400 {
        parser.push(&b"ME999999".repeat(1000));
        while parser.next(false).is_some() {}
    }
    parser.push(b"\nME000003{}\n");
    let last = std::iter::from_fn(|| parser.next(false))
        .last()
        .map(|piece| show(&piece));
    assert_eq!(last.as_deref(), Some("{}"));
}
