//! Tests of the parser: the same log in any pieces, records where they may be, text that only looks like one.

use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

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

fn mark(time: &str, count: u32, within: Option<u64>) -> Mark {
    Mark {
        time: time.to_owned(),
        count,
        within,
        open: [false; 2],
    }
}

#[test]
fn the_position_counts_lines_of_the_same_time_and_the_bytes_of_one_that_is_not_complete() {
    let mut parser = Parser::new("abcd1234");
    let mut out = Vec::new();
    parser.push(
        b"2026-01-01T00:00:00Z a\n2026-01-01T00:00:01Z b\n2026-01-01T00:00:01Z cd",
        &mut out,
    );
    let unfinished = Mark {
        open: [true, false],
        ..mark("2026-01-01T00:00:01Z", 2, Some(2))
    };
    assert_eq!(parser.position(), unfinished);
    parser.push(b"\n", &mut out);
    assert_eq!(parser.position(), mark("2026-01-01T00:00:01Z", 2, None));
}

#[test]
fn times_within_a_line_that_the_runtime_has_cut_are_not_part_of_it() {
    for size in [8192, 16384] {
        for time in [T, "2026-11-25T04:34:19.123456789+08:00 ", "2026-11-25T04:34:19Z "] {
            let (first, second) = ("x".repeat(size), "y".repeat(size));
            let log = format!("{T}{first}{time}{second}{time}end\n");
            let expected = [Said::Stdout(format!("{first}{second}end\n").into_bytes())];
            for cut in [1, 1000, 100_000] {
                assert_eq!(parse(log.as_bytes(), cut), expected);
            }
        }
    }
}

#[test]
fn text_at_such_a_place_that_is_no_time_stays() {
    for text in [
        "2026-11-25T04:34:19.1x",
        "2",
        "2026-11-25T04:34:19+08:0 ",
        "\x1eabcd1234m1 x",
        "",
    ] {
        let long = format!("{}{text}", "x".repeat(16384));
        let expected = [Said::Stdout(format!("{long}\n").into_bytes())];
        let said = parse(format!("{T}{long}\n").as_bytes(), 7);
        if text.starts_with('\x1e') {
            assert_eq!(said[1], line(1, "x"));
        } else {
            assert_eq!(said, expected, "{text:?}");
        }
    }
}

/// A log with everything that a stream may be cut in: several lines of one time, records, pieces, text without line ends.
fn anything() -> Vec<u8> {
    let lines = [
        ("00.1", "\x1eabcd1234b0"),
        ("00.5", "one"),
        ("00.51", "two\x1enot a record"),
        ("00.51", "\x1eabcd1234m1 first"),
        ("00.51", "open\x1eabcd1234c"),
        ("00.9", "\x1eabcd1234M2 aa"),
        ("01.2", "\x1eabcd1234M2 bb"),
        ("02.3", "\x1eabcd1234m2 cc"),
        ("02.3", "\x1eabcd1234eproblem"),
        ("02.4", "three"),
        ("02.5", "\x1eabcd1234ptail"),
        ("02.6", "\x1eabcd1234x0 12"),
    ];
    let lines = lines.map(|(time, text)| format!("2026-01-01T00:00:{time}Z {text}\n"));
    lines.concat().into_bytes()
}

/// What the files get of a log: journal, standard output and standard error, each line of the journal by its number once.
fn kept(said: &[Said]) -> (String, String, String) {
    let (mut n, mut journal, mut stdout, mut stderr) = (0, String::new(), String::new(), String::new());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    for one in said {
        match one {
            Said::Line { n: number, text: line } if *number > n => {
                n = *number;
                let _ = writeln!(journal, "{n}:{}", text(line));
            }
            Said::Rest(rest) => journal.push_str(&text(rest)),
            Said::Stdout(bytes) => stdout.push_str(&text(bytes)),
            Said::Stderr(bytes) => stderr.push_str(&text(bytes)),
            _ => {}
        }
    }
    (journal, stdout, stderr)
}

/// What a server sends to one who asks for the log from the second of this time on.
fn since<'a>(log: &'a [u8], time: &str) -> &'a [u8] {
    let second = time.split('.').next().unwrap_or_default();
    let mut from = 0;
    for line in log.split_inclusive(|b| *b == b'\n') {
        if line >= second.as_bytes() {
            break;
        }
        from += line.len();
    }
    &log[from..]
}

#[test]
fn a_stream_that_is_cut_anywhere_twice_loses_and_repeats_nothing() {
    let log = anything();
    let whole = kept(&parse(&log, 1000));
    for first in 0..log.len() {
        for second in (0..log.len()).step_by(7) {
            let mut out = Vec::new();
            let mut mark = Mark::default();
            for length in [first, second, log.len()] {
                let mut parser = Parser::resumed("abcd1234", mark);
                let stream = since(&log, &parser.position().time);
                parser.push(&stream[..length.min(stream.len())], &mut out);
                mark = parser.position();
            }
            assert_eq!(kept(&out), whole, "cut behind {first} and {second} bytes");
        }
    }
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
