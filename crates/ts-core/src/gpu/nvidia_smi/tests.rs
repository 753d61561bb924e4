//! The parser over answers of several driver generations, over driver errors, and over anything at all.

use super::*;
use proptest::prelude::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../fixtures/", $name, ".txt"))
    };
}

fn printed(code: i32, stdout: &str) -> SmiOutput<'_> {
    SmiOutput {
        code: Some(code),
        stdout,
        stderr: "",
    }
}

fn inventory(query: GpuQuery, stdout: &str) -> GpuInventory {
    match query.parse(&printed(0, stdout)) {
        Inspection::Gpus(inventory) => inventory,
        other => panic!("no inventory but {other:?}"),
    }
}

#[test]
fn old_drivers_are_asked_without_the_mig_mode() {
    let refused = printed(2, fixture!("418-unknown-field"));
    assert_eq!(GpuQuery::Full.fallback(&refused), Some(GpuQuery::WithoutMig));
    assert_eq!(GpuQuery::WithoutMig.fallback(&refused), None);
    assert_eq!(
        GpuQuery::Full.fallback(&printed(0, fixture!("550-h100-mig.gpus"))),
        None
    );
    assert!(!GpuQuery::WithoutMig.arguments()[0].contains("mig"));

    let mut v100 = inventory(GpuQuery::WithoutMig, fixture!("418-v100.gpus"));
    add_processes(&mut v100, &printed(0, fixture!("418-v100.processes"))).expect("read");
    let mut second = Gpu::new(1, "GPU-6f2b1f0e-1f2a-4b47-9a1c-0c4a6f5e0002", "Tesla V100-SXM2-16GB");
    second.memory_total_mib = Some(16130);
    second.memory_used_mib = Some(11254);
    second.utilization_percent = Some(97);
    assert_eq!(v100.gpus()[1], second.with_processes([4711]));
    assert!(v100.gpus()[0].processes.is_empty());
}

#[test]
fn consumer_cards_tell_little() {
    let mut consumer = inventory(GpuQuery::WithoutMig, fixture!("361-consumer.gpus"));
    add_processes(&mut consumer, &printed(0, fixture!("361-consumer.processes"))).expect("read");
    let facts = |gpu: &Gpu| (gpu.memory_total_mib, gpu.memory_used_mib, gpu.utilization_percent);
    let known: Vec<_> = consumer.gpus().iter().map(facts).collect();
    assert_eq!(known, [(Some(4044), Some(312), None), (Some(3017), None, None)]);
    assert!(
        consumer
            .gpus()
            .iter()
            .all(|gpu| gpu.processes.is_empty() && gpu.n_hidden_processes == 0)
    );
}

#[test]
fn names_may_hold_commas_and_values_may_be_withheld() {
    let odd = inventory(GpuQuery::Full, fixture!("550-odd-values.gpus"));
    let expected = Gpu::new(
        0,
        "GPU-00000000-0000-0000-0000-00000000000a",
        "NVIDIA Card, rev 2, with commas",
    );
    assert_eq!(odd.gpus(), [expected]);
}

#[test]
fn mig_devices_of_both_formats_are_read() {
    let mut first = inventory(GpuQuery::Full, fixture!("460-a100-mig.gpus"));
    assert!(first.lacks_mig_devices());
    add_mig_devices(&mut first, &printed(0, fixture!("460-a100-mig.devices"))).expect("read");
    assert!(!first.lacks_mig_devices());
    let name = "MIG-GPU-b7a9c0de-0000-4c1d-8a52-3f3e5d6a0001/1/0";
    assert_eq!(first.visible_devices(&[0]), name);
    assert_eq!(first.visible_devices(&[1]), "1");

    let mut present = inventory(GpuQuery::Full, fixture!("550-h100-mig.gpus"));
    add_mig_devices(&mut present, &printed(0, fixture!("550-h100-mig.devices"))).expect("read");
    let modes: Vec<_> = present.gpus().iter().map(|gpu| gpu.mig).collect();
    assert_eq!(modes, [MigMode::Enabled, MigMode::Disabled, MigMode::Enabled]);
    let devices: Vec<_> = present.gpus()[0]
        .mig_devices
        .iter()
        .map(|device| (device.index, device.profile.as_str(), &device.uuid[33..]))
        .collect();
    assert_eq!(
        devices,
        [
            (0, "3g.40gb", "0000001"),
            (1, "1c.3g.40gb", "0000002"),
            (10, "1g.10gb+me", "0000003")
        ]
    );
    assert!(present.gpus()[2].mig_devices.is_empty());

    add_processes(&mut present, &printed(0, fixture!("550-h100-mig.processes"))).expect("read");
    assert_eq!(
        present.gpus()[0].processes,
        [9001],
        "a process on a MIG device is on its GPU"
    );
    assert_eq!(present.gpus()[1].processes, [77]);
    assert_eq!(present.gpus()[1].n_hidden_processes, 1);
}

#[test]
fn a_lost_gpu_does_not_hide_the_others() {
    let answer = printed(15, fixture!("550-one-lost.gpus"));
    let Inspection::Gpus(inventory) = GpuQuery::Full.parse(&answer) else {
        panic!("the second GPU is there");
    };
    assert_eq!(inventory.gpus().iter().map(|gpu| gpu.index).collect::<Vec<_>>(), [1]);
}

#[test]
fn machines_without_gpu_are_no_failure() {
    for code in [0, 6] {
        let outcome = GpuQuery::Full.parse(&printed(code, fixture!("no-devices")));
        assert!(matches!(outcome, Inspection::NoGpu(_)), "{code}: {outcome:?}");
        assert_eq!(outcome.into_inventory().expect("empty").gpus(), []);
    }
    let missing = SmiOutput {
        code: Some(127),
        stdout: "",
        stderr: "sh: 1: nvidia-smi: not found\n",
    };
    assert_eq!(GpuQuery::Full.parse(&missing), Inspection::not_installed());
}

#[test]
fn driver_failures_say_what_helps() {
    let cases = [
        (
            9,
            fixture!("driver-not-loaded"),
            "couldn't communicate",
            "modprobe nvidia",
        ),
        (
            18,
            fixture!("version-mismatch"),
            "version mismatch",
            "restart the machine",
        ),
        (
            12,
            fixture!("no-library"),
            "couldn't find libnvidia-ml",
            "NVIDIA's runtime",
        ),
        (255, fixture!("container-lost-device"), "Unknown Error", "container"),
        (4, fixture!("no-permission"), "Insufficient Permissions", "/dev/nvidia"),
        (15, fixture!("gpu-lost"), "GPU is lost", "Xid"),
        (0, "", "exit code 0 and printed nothing", "run `nvidia-smi`"),
        (3, "Something new\n", "exit code 3: Something new", "run `nvidia-smi`"),
        (0, "a, row\n", "printed `a, row`", "run `nvidia-smi`"),
        (
            0,
            "x, GPU-1, T4, 1, 1, 1, [N/A]\n",
            "documented formats",
            "run `nvidia-smi`",
        ),
    ];
    for (code, text, said, helps) in cases {
        let on_stderr = SmiOutput {
            code: Some(code),
            stdout: "",
            stderr: text,
        };
        for output in [printed(code, text), on_stderr] {
            if code == 0 && output.stdout.is_empty() && !text.is_empty() {
                continue;
            }
            let Inspection::Failed(failure) = GpuQuery::Full.parse(&output) else {
                panic!("{text:?} is a failure");
            };
            assert!(failure.message.contains(said), "{failure:?}");
            assert!(failure.help.contains(helps), "{failure:?}");
            assert!(!failure.refusal().permanent, "a driver may come back");
        }
    }
    let killed = SmiOutput {
        code: None,
        stdout: "",
        stderr: "",
    };
    let outcome = GpuQuery::Full.parse(&killed).into_inventory();
    assert_eq!(
        outcome.expect_err("unknown").message,
        "nvidia-smi was ended by a signal and printed nothing"
    );
}

#[test]
fn unreadable_answers_leave_the_inventory_as_it_was() {
    let mut v100 = inventory(GpuQuery::WithoutMig, fixture!("418-v100.gpus"));
    add_processes(&mut v100, &printed(0, fixture!("418-v100.processes"))).expect("read");
    let before = v100.clone();
    let bad_pid = "GPU-6f2b1f0e-1f2a-4b47-9a1c-0c4a6f5e0001, many, 3\n";
    for answer in [
        printed(9, fixture!("driver-not-loaded")),
        printed(0, bad_pid),
        printed(0, "?"),
    ] {
        add_processes(&mut v100, &answer).expect_err("unreadable");
        assert_eq!(v100, before);
    }
    add_mig_devices(&mut v100, &printed(9, fixture!("driver-not-loaded"))).expect_err("unreadable");
    assert_eq!(v100, before);
    add_processes(&mut v100, &printed(0, "No running processes found\r\n")).expect("nobody runs");
    assert!(v100.gpus().iter().all(|gpu| gpu.processes.is_empty()));
}

/// Pieces of real answers and any text, so that each branch is reached.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(", ".to_owned()),
        Just("\n".to_owned()),
        Just("MIG 1g.5gb Device 0: (UUID: MIG-1)".to_owned()),
        Just("GPU 0: ".to_owned()),
        Just("[N/A]".to_owned()),
        Just("Enabled".to_owned()),
        Just(fixture!("550-h100-mig.gpus").to_owned()),
        any::<u64>().prop_map(|n| n.to_string()),
        ".{0,9}",
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_printed_makes_it_panic(code in prop::option::of(-1..256), stdout in text(), stderr in text()) {
        let output = SmiOutput { code, stdout: &stdout, stderr: &stderr };
        for query in [GpuQuery::Full, GpuQuery::WithoutMig] {
            if let Inspection::Failed(failure) = query.parse(&output) {
                prop_assert!(failure.message.len() < 700);
            }
        }
        let mut known = inventory(GpuQuery::Full, fixture!("550-h100-mig.gpus"));
        let n_gpus = known.gpus().len();
        add_mig_devices(&mut known, &output).ok();
        add_processes(&mut known, &output).ok();
        prop_assert_eq!(known.gpus().len(), n_gpus);
    }

    #[test]
    fn a_row_reads_back_as_it_was_written(
        index in any::<u32>(),
        name in "[A-Za-z0-9]([ -~]{0,20}[A-Za-z0-9])?",
        total in prop::option::of(any::<u64>()),
        percent in prop::option::of(0_u8..=100),
    ) {
        let value = |n: Option<u64>| n.map_or_else(|| "[N/A]".to_owned(), |n| n.to_string());
        let row = format!("{index}, GPU-1, {name}, {}, [N/A], {}, Disabled\n", value(total), value(percent.map(u64::from)));
        let mut expected = Gpu::new(index, "GPU-1", name);
        (expected.memory_total_mib, expected.utilization_percent, expected.mig) = (total, percent, MigMode::Disabled);
        let read = inventory(GpuQuery::Full, &row);
        prop_assert_eq!(read.gpus(), [expected]);
    }
}
