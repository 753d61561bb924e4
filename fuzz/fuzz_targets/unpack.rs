//! Whatever an archive holds, unpacking it writes nothing beside its destination.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ts_codedir::{UnpackLimits, unpack};

fuzz_target!(|archive: &[u8]| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let destination = directory.path().join("inside");
    let unpacked = unpack(archive, &destination, UnpackLimits::new(100, 1 << 20));
    let names: Vec<_> = std::fs::read_dir(directory.path())
        .expect("readable")
        .flatten()
        .map(|e| e.file_name())
        .collect();
    match unpacked {
        Ok(_) => assert_eq!(names, ["inside"]),
        Err(_) => assert!(names.is_empty(), "{names:?}"),
    }
});
