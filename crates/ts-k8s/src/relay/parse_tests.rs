//! Tests of the parser: the same log in any pieces, records where they may be, text that only looks like one.

use super::*;
use proptest::prelude::*;

const T: &str = "2026-11-25T04:34:19.123456789Z ";

fn parse(log: &[u8], cut: usize) -> Vec<Said> {
    let mut parser = Parser::new("abcd1234");
    let mut out = Vec::new();
    for piece in log.chunks(cut.max(1)) {
        parser.push(piece, &mut out);
    }
    joined(out)
}

/// Neighbors of the same kind are one, however the log was cut.
fn joined(said: Vec<Said>) -> Vec<Said> {
    let mut out: Vec<Said> = Vec::new();
    for item in said {
        match (out.last_mut(), item) {
            (Some(Said::Stdout(a)), Said::Stdout(b)) | (Some(Said::Stderr(a)), Said::Stderr(b)) => a.extend(b),
            (_, item) => out.push(item),
        }
    }
    out
}

fn log(lines: &[&str]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| format!("{T}{line}\n").into_bytes())
        .collect()
}

fn line(n: u64, text: &str) -> Said {
    Said::Line {
        n,
        text: text.as_bytes().to_vec(),
    }
}

#[test]
fn everything_that_a_pod_says_is_told_apart_however_it_is_cut() {
    let log = log(&[
        "\x1eabcd1234b0",
        "\x1eabcd1234m1 ME0000021",
        "hello",
        "no newline\x1eabcd1234c",
        "\x1eabcd1234eerr1",
        "\x1eabcd1234M2 aa",
        "\x1eabcd1234M2 bb",
        "\x1eabcd1234m2 ",
        "more",
        "\x1eabcd1234epart\x1eabcd1234c",
        "\x1eabcd1234ptail",
        "\x1eabcd1234x3 1234",
    ]);
    let expected = [
        Said::Began(0),
        line(1, "ME0000021"),
        Said::Stdout(b"hello\nno newline".to_vec()),
        Said::Stderr(b"err1\n".to_vec()),
        line(2, "aabb"),
        Said::Stdout(b"more\n".to_vec()),
        Said::Stderr(b"part".to_vec()),
        Said::Rest(b"tail".to_vec()),
        Said::Ended(Exit { code: 3, at: 1234 }),
    ];
    for cut in [1, 2, 7, 40, 1000] {
        assert_eq!(parse(&log, cut), expected, "in pieces of {cut}");
    }
}

#[test]
fn what_only_looks_like_a_record_is_output() {
    let text = "\x1eabcd\x1eabcd1235m1 x\x1e";
    let expected = [Said::Stdout(format!("{text}\n\x1eabcd1234z\n").into_bytes())];
    assert_eq!(parse(&log(&[text, "\x1eabcd1234z"]), 3), expected);
}

#[test]
fn a_piece_of_another_line_begins_anew() {
    let log = log(&["\x1eabcd1234M1 aa", "\x1eabcd1234M2 bb", "\x1eabcd1234m2 c"]);
    assert_eq!(parse(&log, 9), [line(2, "bbc")]);
}

#[test]
fn lines_without_a_time_are_read_too() {
    assert_eq!(parse(b"plain text\n", 4), [Said::Stdout(b"plain text\n".to_vec())]);
}

#[test]
fn the_position_counts_lines_of_the_same_time() {
    let mut parser = Parser::new("abcd1234");
    let mut out = Vec::new();
    parser.push(
        b"2026-01-01T00:00:00Z a\n2026-01-01T00:00:01Z b\n2026-01-01T00:00:01Z c\n",
        &mut out,
    );
    assert_eq!(parser.position(), ("2026-01-01T00:00:01Z", 2));
}

#[test]
fn a_resumed_stream_repeats_no_text_but_every_record() {
    let a = "2026-01-01T00:00:00.5Z a\n2026-01-01T00:00:00.51Z b\n2026-01-01T00:00:00.51Z c\n";
    let record = "2026-01-01T00:00:00.4Z \x1eabcd1234m1 x\n";
    let news = "2026-01-01T00:00:00.51Z d\n2026-01-01T00:00:02Z e\n";
    let mut parser = Parser::new("abcd1234");
    let mut out = Vec::new();
    parser.push(a.as_bytes(), &mut out);
    let (time, count) = parser.position();
    let mut second = Parser::new("abcd1234");
    second.resume(time.to_owned(), count);
    let mut out = Vec::new();
    second.push(format!("{record}{a}{news}").as_bytes(), &mut out);
    assert_eq!(joined(out), [line(1, "x"), Said::Stdout(b"d\ne\n".to_vec())]);
    assert_eq!(second.position(), ("2026-01-01T00:00:02Z", 1));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 1_usize..40) {
        prop_assert_eq!(parse(&bytes, cut), parse(&bytes, 1000));
    }

    #[test]
    fn printed_text_comes_through(text in "[^\x1e]{0,80}") {
        let log = format!("{T}{}\n", text.replace('\n', &format!("\n{T}")));
        let expected = vec![Said::Stdout(format!("{text}\n").into_bytes())];
        prop_assert_eq!(parse(log.as_bytes(), 5), expected);
    }
}
