//! The tailer: restarts, truncation, replacement, failing reads, files that are not there.

use super::{
    super::{JournalCursor, JournalItem, Problem, Tailer, frame},
    MemoryFile, bodies, follow,
};

fn frames(bodies: &[&str]) -> Vec<u8> {
    bodies.iter().flat_map(|body| frame(body).unwrap()).collect()
}

fn seqs(items: &[JournalItem]) -> Vec<u64> {
    items.iter().map(|item| item.cursor().seq()).collect()
}

#[test]
fn seq_is_the_offset_behind_the_record() {
    let items = follow(&mut Tailer::new(JournalCursor::default()), &frames(&["{}", "[1]"]), 1);
    assert_eq!((bodies(&items), seqs(&items)), (vec!["{}", "[1]"], vec![11, 23]));
}

#[test]
fn a_record_that_grows_byte_by_byte_comes_once() {
    let content = frames(&["{}", "[1]"]);
    let mut tailer = Tailer::new(JournalCursor::default());
    let items: Vec<_> = (0..=content.len())
        .flat_map(|end| follow(&mut tailer, &content[..end], 1000))
        .collect();
    assert_eq!(bodies(&items), ["{}", "[1]"]);
}

#[test]
fn truncation_starts_over_and_seq_grows_on() {
    let mut tailer = Tailer::new(JournalCursor::default());
    let before = follow(
        &mut tailer,
        &[frames(&["{}", "[1]"]), b"ME000098{".to_vec()].concat(),
        1000,
    );
    assert_eq!(seqs(&before), [11, 23]);
    let after = follow(&mut tailer, &frames(&["{}"]), 1000);
    let base = JournalCursor {
        base: 32,
        offset: 0,
        check: 0,
    };
    assert_eq!(
        after[0],
        JournalItem::Skipped {
            cursor: base,
            n_bytes: 9,
            problem: Problem::Replaced
        }
    );
    assert_eq!((bodies(&after), seqs(&after)), (vec!["{}"], vec![32, 43]));
}

#[test]
fn truncation_to_nothing_waits_for_new_content() {
    let mut tailer = Tailer::new(JournalCursor::default());
    follow(&mut tailer, &frames(&["{}"]), 1000);
    assert_eq!(follow(&mut tailer, b"", 1000), []);
    assert_eq!(seqs(&follow(&mut tailer, &frames(&["[2]"]), 1000)), [23]);
}

#[test]
fn a_replaced_file_is_read_anew_by_the_same_tailer_and_by_a_restarted_one() {
    let old = frames(&["\"old\"", "\"old\""]);
    let new = frames(&["\"new\"", "\"new\"", "\"new\""]);
    let mut tailer = Tailer::new(JournalCursor::default());
    follow(&mut tailer, &old, 1000);
    for mut tailer in [Tailer::new(tailer.cursor()), tailer] {
        let items = follow(&mut tailer, &new, 1000);
        assert_eq!(bodies(&items), ["\"new\""; 3]);
        assert_eq!(seqs(&items), [42, 56, 70]);
    }
}

#[test]
fn a_record_that_is_not_utf8_is_skipped_and_the_next_one_found() {
    let content = [b"ME000004\"\xff\"\n".to_vec(), frames(&["{}"])].concat();
    let items = follow(&mut Tailer::new(JournalCursor::default()), &content, 1000);
    let JournalItem::Skipped {
        n_bytes: 12,
        problem: Problem::NotUtf8,
        cursor,
    } = items[0]
    else {
        panic!("{items:?}");
    };
    assert_eq!((cursor.seq(), bodies(&items)), (12, vec!["{}"]));
}

#[test]
fn the_answer_to_an_outdated_question_is_ignored() {
    let content = frames(&["{}"]);
    let mut tailer = Tailer::new(JournalCursor::default());
    let (at, mut items) = (tailer.next_read(), Vec::new());
    for _ in 0..2 {
        tailer.accept(at, &content, content.len() as u64, &mut items);
    }
    assert_eq!(bodies(&items), ["{}"]);
}

#[test]
fn a_source_that_gives_nothing_cannot_make_it_spin() {
    let mut tailer = Tailer::new(JournalCursor {
        base: 0,
        offset: 500,
        check: 7,
    });
    let mut items = Vec::new();
    let at = tailer.next_read();
    assert_eq!(tailer.accept(at, b"short", 1000, &mut items), super::Progress::CaughtUp);
    assert_eq!((items, tailer.cursor().offset), (vec![], 500));
}

#[tokio::test]
async fn a_missing_file_is_an_empty_one() {
    let items = Tailer::new(JournalCursor::default())
        .drain(&mut MemoryFile::default(), true)
        .await
        .unwrap();
    assert_eq!(items, []);
}

#[tokio::test]
async fn a_failed_read_loses_and_doubles_nothing() {
    let body = format!("\"{}\"", "x".repeat(100_000));
    let content = frames(&[body.as_str(); 20]);
    for good_reads in 0..8 {
        let mut file = MemoryFile {
            content: content.clone(),
            good_reads: Some(good_reads),
        };
        let mut tailer = Tailer::new(JournalCursor::default());
        tailer.drain(&mut file, true).await.unwrap_err();
        let items = tailer.drain(&mut file, true).await.unwrap();
        assert_eq!(bodies(&items), [body.as_str(); 20]);
    }
}

#[tokio::test]
async fn an_ended_writer_s_rest_is_skipped() {
    let content = [frames(&["{}"]), b"ME000098{\"par".to_vec()].concat();
    let mut file = MemoryFile {
        content,
        good_reads: None,
    };
    let mut tailer = Tailer::new(JournalCursor::default());
    assert_eq!(bodies(&tailer.drain(&mut file, false).await.unwrap()), ["{}"]);
    let rest = tailer.drain(&mut file, true).await.unwrap();
    let cursor = tailer.cursor();
    assert_eq!(
        rest,
        [JournalItem::Skipped {
            cursor,
            n_bytes: 13,
            problem: Problem::Incomplete
        }]
    );
    assert_eq!(cursor.offset, 24);
}
