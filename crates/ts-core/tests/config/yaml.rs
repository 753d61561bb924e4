//! Texts of all kinds: as Python writes YAML, too big ones, and nonsense.

use super::{Folder, V1, V2, good, problems};
use proptest::prelude::*;
use std::fmt::Write as _;
use ts_core::config::{AlgorithmKind, reference};

#[test]
fn yaml_of_python_is_read() {
    let folder = Folder::new();
    let merged = V2.replace("tuner:\n  name: TPE\n", "tuner:\n  <<: {name: Random}\n  name: TPE\n");
    for text in [
        V2.replace('\n', "\r\n"),
        format!("\u{feff}{V2}"),
        format!("---\n{V2}...\n"),
        merged,
    ] {
        assert_eq!(
            good(folder.parse(&text)).tuner.unwrap().kind,
            AlgorithmKind::Named("TPE".into())
        );
    }
    let two = folder.parse(&format!("{V2}---\n{V2}"));
    assert_eq!(problems(&two), ["14:1 : a second document starts here"]);
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..10 {
        let alias = format!("*a{}", n - 1);
        writeln!(text, "a{n}: &a{n} [{}]", vec![alias; 10].join(", ")).unwrap();
    }
    let found = problems(&Folder::new().parse(&text));
    assert!(found.iter().any(|p| p.contains("more than 100000 values")), "{found:?}");
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*|([-:{}\\[\\]&*<a-c \n'\"|>~0-9.]){0,80}") {
        let parsed = Folder::new().parse(&text);
        prop_assert!(parsed.config.is_none());
        prop_assert!(!parsed.problems.is_empty());
    }

    #[test]
    fn arbitrary_values_never_panic(key in 0..reference::KEYS.len(), value in "[-:{}\\[\\]a-c0-9.eE+~ ]{0,20}") {
        let row = reference::KEYS[key];
        let v2 = format!("{}: {value}\n{V2}", row.v2);
        let v1 = format!("{}: {value}\n{V1}", row.v1);
        for text in [v2, v1] {
            let parsed = Folder::new().parse(&text);
            prop_assert_eq!(parsed.config.is_some(), parsed.problems.is_empty());
        }
    }
}
