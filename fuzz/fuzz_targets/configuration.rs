//! Whatever is in an experiment file, reading it ends with a configuration or with problems.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ts_core::config::{ConfigSource, parse};

fuzz_target!(|text: &str| {
    let source = ConfigSource {
        file: "experiment.yml".into(),
        base_dir: "/nonexistent".into(),
        home: None,
    };
    let parsed = parse(text, &source, &[]);
    assert_eq!(parsed.config.is_none(), !parsed.problems.is_empty());
});
