//! Properties of parser and tailer over generated streams of records, torn records and garbage.

use proptest::{collection::vec, prelude::*};

use super::{
    super::{FrameParser, JournalCursor, JournalItem, Piece, Tailer, frame, line},
    bodies, follow,
};

/// A JSON body, numbered so that each is recognized.
fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u32>().prop_map(|n| n.to_string()),
        "[a-z' ME0-9é]{0,80}".prop_map(|text| format!("{{\"value\": \"{text}\"}}")),
    ]
}

fn record() -> impl Strategy<Value = Vec<u8>> {
    (body(), any::<bool>()).prop_map(|(body, is_line)| if is_line { line(&body) } else { frame(&body) }.unwrap())
}

/// Something that is no record, or only a piece of one.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        vec(Just(0_u8), 0..200),
        "[ME0-9NISDK_b'\n\\{\\}\"]{0,40}".prop_map(String::into_bytes),
        (record(), any::<prop::sample::Index>()).prop_map(|(bytes, at)| bytes[..at.index(bytes.len())].to_vec()),
        Just(b"ME999999{".to_vec()),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![3 => record(), 1 => garbage()], 0..12).prop_map(|parts| parts.concat())
}

fn whole(content: &[u8]) -> Vec<JournalItem> {
    let mut tailer = Tailer::new(JournalCursor::default());
    let mut items = follow(&mut tailer, content, usize::MAX / 2);
    tailer.finish(&mut items);
    items
}

proptest! {
    #[test]
    fn any_split_gives_the_same_pieces(content in stream(), cuts in vec(1_usize..50, 1..20)) {
        let all = |mut parser: FrameParser, chunks: Vec<&[u8]>| {
            let mut pieces = Vec::new();
            for chunk in chunks {
                parser.push(chunk);
                pieces.extend(std::iter::from_fn(|| parser.next(false)));
            }
            pieces.extend(std::iter::from_fn(|| parser.next(true)));
            pieces
        };
        let (mut rest, mut chunks) = (&content[..], Vec::new());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
            chunks.push(chunk);
            rest = tail;
        }
        let at_once = all(FrameParser::new(&[]), vec![&content]);
        let n_bytes: u64 = at_once
            .iter()
            .map(|piece| match piece { Piece::Record { n_bytes, .. } | Piece::Skipped { n_bytes, .. } => *n_bytes })
            .sum();
        prop_assert_eq!(n_bytes, content.len() as u64, "every byte is accounted for");
        prop_assert_eq!(all(FrameParser::new(&[]), chunks), at_once);
    }

    #[test]
    fn any_step_gives_the_same_items(content in stream(), step in 1_usize..100) {
        let mut tailer = Tailer::new(JournalCursor::default());
        let mut items = follow(&mut tailer, &content, step);
        tailer.finish(&mut items);
        prop_assert_eq!(items, whole(&content));
    }

    #[test]
    fn a_restart_at_any_cursor_gives_the_rest_once(content in stream()) {
        let items = whole(&content);
        for (i, item) in items.iter().enumerate() {
            let mut tailer = Tailer::new(item.cursor());
            let mut rest = follow(&mut tailer, &content, 1000);
            tailer.finish(&mut rest);
            prop_assert_eq!(&rest, &items[i + 1..]);
        }
    }

    /// A newline ends whatever the garbage had begun, so the record behind it is whole.
    #[test]
    fn a_good_record_behind_garbage_is_found(garbage in vec(any::<u8>(), 0..300), body in body(), is_line in any::<bool>()) {
        let good = if is_line { line(&body) } else { frame(&body) }.unwrap();
        let items = whole(&[garbage, b"\n".to_vec(), good].concat());
        prop_assert_eq!(bodies(&items).last().copied(), Some(body.as_str()));
    }

    /// Found at once, not only when the writer has ended.
    #[test]
    fn a_torn_record_costs_no_other(torn in record(), at in any::<prop::sample::Index>(), after in vec(body(), 3)) {
        let torn = &torn[..at.index(torn.len())];
        let good: Vec<u8> = after.iter().flat_map(|body| frame(body).unwrap()).collect();
        let content = [torn, &good, &[b'\n'; 400]].concat();
        let items = follow(&mut Tailer::new(JournalCursor::default()), &content, 7);
        prop_assert_eq!(bodies(&items), after);
    }

    #[test]
    fn seq_grows_whatever_happens_to_the_file(
        contents in vec((stream(), any::<bool>()), 1..6),
        step in 1_usize..200,
    ) {
        let mut tailer = Tailer::new(JournalCursor::default());
        let mut last = 0;
        for (content, restarts) in contents {
            if restarts {
                tailer = Tailer::new(tailer.cursor());
            }
            let mut items = follow(&mut tailer, &content, step);
            tailer.finish(&mut items);
            for item in items {
                prop_assert!(item.cursor().seq() > last);
                last = item.cursor().seq();
            }
        }
    }

    #[test]
    fn records_read_back_as_written(bodies_in in vec((body(), any::<bool>()), 0..10)) {
        let content: Vec<u8> = bodies_in
            .iter()
            .flat_map(|(body, is_line)| if *is_line { line(body) } else { frame(body) }.unwrap())
            .collect();
        let items = whole(&content);
        let want: Vec<&str> = bodies_in.iter().map(|(body, _)| body.as_str()).collect();
        prop_assert_eq!(items.len(), want.len());
        prop_assert_eq!(bodies(&items), want);
    }
}
