//! Whatever a trial writes into its journal, reading it in two pieces gives what reading it whole gives, and a metric's text
//! that parses is read back from its own rendering.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ts_core::{
    JournalCursor, Metric,
    journal::{JournalItem, Tailer},
};

fn read(cursor: JournalCursor, journal: &[u8], steps: &[usize]) -> Vec<JournalItem> {
    let mut tailer = Tailer::new(cursor);
    let mut items = Vec::new();
    for visible in steps.iter().copied().chain([journal.len()]) {
        loop {
            let at = tailer.next_read();
            let from = (at.offset as usize).min(visible);
            let to = (from + at.len).min(visible);
            let progress = tailer.accept(at, &journal[from..to], visible as u64, &mut items);
            if progress == ts_core::journal::Progress::CaughtUp {
                break;
            }
        }
    }
    tailer.finish(&mut items);
    items
}

fn frames(items: &[JournalItem]) -> Vec<&str> {
    let mut bodies = Vec::new();
    for item in items {
        if let JournalItem::Frame { body, .. } = item {
            bodies.push(body.as_str());
        }
    }
    bodies
}

fuzz_target!(|input: (usize, &[u8])| {
    let (split, journal) = input;
    let split = split % (journal.len() + 1);
    let whole = read(JournalCursor::default(), journal, &[]);
    let pieces = read(JournalCursor::default(), journal, &[split]);
    assert_eq!(frames(&whole), frames(&pieces));
    let mut seq = 0;
    for item in &whole {
        assert!(item.cursor().seq() > seq || seq == 0);
        seq = item.cursor().seq();
    }
    for body in frames(&whole) {
        if let Ok(metric) = Metric::parse(body) {
            assert_eq!(Metric::parse(&metric.render()).expect("its own rendering"), metric);
        }
    }
});
