//! The GPUs of one machine at one moment, as facts: what there is, who uses it, and how a trial is told which it got.
//!
//! Where the facts come from is `nvidia_smi`'s; who may use which GPU is `place`'s.

/// One GPU of a machine. What the driver does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Gpu {
    /// Position in nvidia-smi's list, which is PCI bus order. `gpuIndices` counts the same way.
    pub index: u32,
    /// The driver's lasting name of the device, such as `GPU-8a6e…`.
    pub uuid: String,
    /// Product name, such as `NVIDIA A100-SXM4-40GB`.
    pub name: String,
    /// Memory in MiB.
    pub memory_total_mib: Option<u64>,
    /// Memory in use, in MiB.
    pub memory_used_mib: Option<u64>,
    /// Share of the last sample period in which a kernel ran, 0 to 100.
    pub utilization_percent: Option<u8>,
    /// Whether the GPU is partitioned.
    pub mig: MigMode,
    /// The partitions, if it is and they were asked for.
    pub mig_devices: Vec<MigDevice>,
    /// Pids of the compute processes on the GPU, ascending. A display server is no compute process.
    pub processes: Vec<u32>,
    /// Number of compute processes whose pid the driver does not tell, such as those of another container.
    pub n_hidden_processes: u32,
}

/// Whether a GPU is in MIG mode (multi-instance GPU: partitioned by the hardware).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum MigMode {
    /// The GPU or its driver knows no MIG.
    #[default]
    Unsupported,
    /// Not partitioned.
    Disabled,
    /// Partitioned: a process computes on one partition, and on none if none was created.
    Enabled,
}

/// One partition of a GPU in MIG mode.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MigDevice {
    /// Number within its GPU.
    pub index: u32,
    /// Size, such as `3g.20gb`.
    pub profile: String,
    /// What `CUDA_VISIBLE_DEVICES` takes, such as `MIG-c6d4…`.
    pub uuid: String,
}

impl Gpu {
    /// A GPU of which only the identity is known: idle, not partitioned.
    pub fn new(index: u32, uuid: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            index,
            uuid: uuid.into(),
            name: name.into(),
            memory_total_mib: None,
            memory_used_mib: None,
            utilization_percent: None,
            mig: MigMode::default(),
            mig_devices: Vec::new(),
            processes: Vec::new(),
            n_hidden_processes: 0,
        }
    }
    /// Sets the pids of the compute processes.
    #[must_use]
    pub fn with_processes(mut self, pids: impl IntoIterator<Item = u32>) -> Self {
        self.processes = pids.into_iter().collect();
        self.processes.sort_unstable();
        self.processes.dedup();
        self
    }
    /// Whether a trial that needs `n_gpus` can compute on this GPU at all.
    ///
    /// A process of CUDA sees one partition at most, so a partitioned GPU never serves a trial of several GPUs.
    /// Source: NVIDIA, "Multi-Instance GPU User Guide", "CUDA Device Enumeration".
    pub fn serves(&self, n_gpus: u32) -> bool {
        self.mig != MigMode::Enabled || (n_gpus == 1 && !self.mig_devices.is_empty())
    }
}

/// The GPUs of a machine, in the order of their indices, each index once.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(transparent)]
pub struct GpuInventory {
    gpus: Vec<Gpu>,
}

impl GpuInventory {
    /// Sorts by index; of several GPUs with one index the first counts.
    pub fn new(mut gpus: Vec<Gpu>) -> Self {
        gpus.sort_by_key(|gpu| gpu.index);
        gpus.dedup_by_key(|gpu| gpu.index);
        Self { gpus }
    }
    /// All GPUs, ascending by index.
    pub fn gpus(&self) -> &[Gpu] {
        &self.gpus
    }
    /// The GPU with this index.
    pub fn get(&self, index: u32) -> Option<&Gpu> {
        self.gpus.iter().find(|gpu| gpu.index == index)
    }
    /// Whether the list of partitions is still to be asked for.
    pub fn lacks_mig_devices(&self) -> bool {
        let lacks = |gpu: &Gpu| gpu.mig == MigMode::Enabled && gpu.mig_devices.is_empty();
        self.gpus.iter().any(lacks)
    }
    /// The value of `CUDA_VISIBLE_DEVICES` for these GPUs: indices, or the first partition's name for a partitioned GPU.
    ///
    /// An index means what nvidia-smi means only with `CUDA_DEVICE_ORDER=PCI_BUS_ID`.
    /// Source: NVIDIA, "CUDA C++ Programming Guide", "CUDA Environment Variables".
    pub fn visible_devices(&self, indices: &[u32]) -> String {
        let name = |index: &u32| {
            let gpu = self.get(*index).filter(|gpu| gpu.mig == MigMode::Enabled);
            let partition = gpu.and_then(|gpu| gpu.mig_devices.first());
            partition.map_or_else(|| index.to_string(), |device| device.uuid.clone())
        };
        indices.iter().map(name).collect::<Vec<_>>().join(",")
    }
    pub(super) fn gpus_mut(&mut self) -> &mut [Gpu] {
        &mut self.gpus
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitioned(index: u32, n_devices: u32) -> Gpu {
        let mut gpu = Gpu::new(index, format!("GPU-{index}"), "A100");
        gpu.mig = MigMode::Enabled;
        let device = |n| MigDevice {
            index: n,
            profile: "1g.5gb".into(),
            uuid: format!("MIG-{index}-{n}"),
        };
        gpu.mig_devices = (0..n_devices).map(device).collect();
        gpu
    }

    #[test]
    fn each_index_counts_once_and_in_order() {
        let gpu = |index, uuid: &str| Gpu::new(index, uuid, "T4");
        let inventory = GpuInventory::new(vec![gpu(1, "b"), gpu(0, "a"), gpu(1, "c")]);
        let uuids: Vec<_> = inventory.gpus().iter().map(|gpu| gpu.uuid.as_str()).collect();
        assert_eq!(uuids, ["a", "b"]);
        assert_eq!(inventory.get(1).map(|gpu| gpu.uuid.as_str()), Some("b"));
        assert_eq!(inventory.get(2), None);
    }

    #[test]
    fn a_partitioned_gpu_serves_trials_of_one_gpu_and_is_named_by_its_partition() {
        let inventory = GpuInventory::new(vec![Gpu::new(0, "GPU-0", "T4"), partitioned(1, 2), partitioned(2, 0)]);
        let serves = |n| inventory.gpus().iter().map(|gpu| gpu.serves(n)).collect::<Vec<_>>();
        assert_eq!(serves(1), [true, true, false]);
        assert_eq!(serves(2), [true, false, false]);
        assert!(inventory.lacks_mig_devices());
        assert_eq!(inventory.visible_devices(&[0]), "0");
        assert_eq!(inventory.visible_devices(&[1]), "MIG-1-0");
        assert_eq!(inventory.visible_devices(&[]), "");
    }
}
