//! Whatever a driver's tool prints, it is an inventory, no GPU, or a failure with a reason.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ts_core::gpu::nvidia_smi::{GpuQuery, Inspection, SmiOutput, add_mig_devices, add_processes};

fn output(stdout: &str, code: i32) -> SmiOutput<'_> {
    SmiOutput {
        code: Some(code),
        stdout,
        stderr: "",
    }
}

fuzz_target!(|input: (&str, &str, &str, i32)| {
    let (gpus, processes, devices, code) = input;
    for query in [GpuQuery::Full, GpuQuery::WithoutMig] {
        if let Inspection::Gpus(mut inventory) = query.parse(&output(gpus, code)) {
            let _ = add_processes(&mut inventory, &output(processes, code));
            let _ = add_mig_devices(&mut inventory, &output(devices, code));
        }
    }
});
