//! OpenPAI's exit codes: what a container's or a framework's code means, where the server does not say it itself.
//!
//! Source: microsoft/pai v1.8, `src/k8s-job-exit-spec/config/k8s-job-exit-spec.yaml`.

use crate::api::ExitSpec;

/// Phrase, type and behavior of each code.
#[rustfmt::skip]
const CODES: &[(i32, &str, &str, &str)] = &[
    (0, "Succeeded", "USER_SUCCESS", "UNKNOWN"),
    (-100, "ConfigMapExternalDeleted", PLATFORM, TRANSIENT),
    (-101, "PodExternalDeleted", PLATFORM, TRANSIENT),
    (-110, "ConfigMapLocalCacheCreationTimeout", PLATFORM, TRANSIENT),
    (-111, "PodLocalCacheCreationTimeout", PLATFORM, TRANSIENT),
    (-120, "PodCreationTransientError", PLATFORM, TRANSIENT),
    (-1000, "PodEvicted", PLATFORM, TRANSIENT),
    (-1001, "PodNodeLost", PLATFORM, TRANSIENT),
    (-1002, "PodScheduledToInsufficientResourceNode", PLATFORM, TRANSIENT),
    (-1003, "PodPreemptedForCriticalPod", PLATFORM, TRANSIENT),
    (-1006, "PodNodeAdmissionUnexpectedError", PLATFORM, TRANSIENT),
    (-1300, "InitContainerDockerOOMKilled", PLATFORM, TRANSIENT),
    (-1205, "ContainerGpuDeviceNotFoundError", PLATFORM, TRANSIENT),
    (130, "ContainerSigIntReceived", PLATFORM, TRANSIENT),
    (131, "ContainerSigQuitReceived", PLATFORM, TRANSIENT),
    (137, "ContainerSigKillReceived", PLATFORM, TRANSIENT),
    (143, "ContainerSigTermReceived", PLATFORM, TRANSIENT),
    (223, "ContainerCudaUncorrectableECCError", PLATFORM, TRANSIENT),
    (250, "FrameworkBarrierTransientFailed", PLATFORM, TRANSIENT),
    (253, "ContainerPortConflict", PLATFORM, TRANSIENT),
    (-200, "PodCreationPermanentError", USER, PERMANENT),
    (-1005, "PodNodeAdmissionForbidden", USER, PERMANENT),
    (-1100, "CreateFrameworkPermanentFailed", USER, PERMANENT),
    (-1200, "UserContainerDockerOOMKilled", USER, PERMANENT),
    (132, "ContainerSigIllReceived", USER, PERMANENT),
    (135, "ContainerSigBusReceived", USER, PERMANENT),
    (136, "ContainerSigFpeReceived", USER, PERMANENT),
    (141, "ContainerSigPipeReceived", USER, PERMANENT),
    (220, "UserCommandExitWithError", USER, PERMANENT),
    (221, "ContainerTensorflowOOMKilled", USER, PERMANENT),
    (222, "ContainerMPISegvFault", USER, PERMANENT),
    (224, "ContainerCudaVersionMismatch", USER, PERMANENT),
    (225, "ContainerCudaDnnVersionMismatch", USER, PERMANENT),
    (226, "ContainerCudaOOMKilled", USER, PERMANENT),
    (228, "ContainerIncorrectParameterError", USER, PERMANENT),
    (229, "ContainerIncorrectDataModelError", USER, PERMANENT),
    (230, "ContainerInvalidSavePath", USER, PERMANENT),
    (231, "ContainerSyntaxError", USER, PERMANENT),
    (232, "ContainerImportError", USER, PERMANENT),
    (233, "ContainerIndexOutOfRange", USER, PERMANENT),
    (234, "ContainerSigvFault", USER, PERMANENT),
    (235, "ContainerEngineCoreDump", USER, PERMANENT),
    (254, "ContainerImageNotExists", USER, PERMANENT),
    (-210, "StopFrameworkRequested", STOP, PERMANENT),
    (-220, "FrameworkAttemptCompletion", STOP, PERMANENT),
    (-230, "DeleteTaskRequested", STOP, PERMANENT),
    (-1004, "PodDeadlineExceeded", STOP, PERMANENT),
    (-300, "PodFailedWithoutFailedContainer", UNKNOWN, "UNKNOWN"),
    (-310, "PodCreationUnknownError", UNKNOWN, "UNKNOWN"),
    (-1201, "ContainerDockerCreationError", UNKNOWN, "UNKNOWN"),
    (-1204, "ContainerDockerStartUnknownError", UNKNOWN, "UNKNOWN"),
    (134, "ContainerSigAbrtReceived", UNKNOWN, "UNKNOWN"),
    (139, "ContainerSigSegvReceived", UNKNOWN, "UNKNOWN"),
    (255, "PAIRuntimeUnknownFailed", UNKNOWN, "UNKNOWN"),
    (-8000, "ContainerUndefinedNegativeExitCode", UNKNOWN, "UNKNOWN"),
    (-1202, "ContainerDockerStartCmdPermissionDenied", PLATFORM, PERMANENT),
    (-1203, "ContainerDockerStartCmdNotFound", PLATFORM, PERMANENT),
    (249, "PAIRuntimeSSHBarrierTimeout", PLATFORM, PERMANENT),
    (252, "FrameworkBarrierPermanentFailed", PLATFORM, PERMANENT),
    (128, "ContainerMayFailDueToGpuDeviceEccError", PLATFORM, "UNKNOWN"),
    (256, "PAIRuntimeExitAbnormally", PLATFORM, "UNKNOWN"),
    (251, "JobGangAllocationTimeout", "RESOURCE_ALLOCATION_TIMEOUT", "TRANSIENT_CONFLICT"),
];

pub(crate) const PLATFORM: &str = "PLATFORM_FAILURE";
pub(crate) const USER: &str = "USER_FAILURE";
pub(crate) const STOP: &str = "USER_STOP";
const UNKNOWN: &str = "UNKNOWN_FAILURE";
const TRANSIENT: &str = "TRANSIENT";
const PERMANENT: &str = "PERMANENT";

/// What a code means; `None` for one that only the container's command knows.
pub(crate) fn spec(code: i32) -> Option<ExitSpec> {
    let (_, phrase, kind, behavior) = CODES.iter().find(|(known, ..)| *known == code)?;
    Some(ExitSpec {
        phrase: (*phrase).to_owned(),
        kind: (*kind).to_owned(),
        behavior: (*behavior).to_owned(),
        ..ExitSpec::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_listed_twice() {
        let mut codes: Vec<i32> = CODES.iter().map(|row| row.0).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), CODES.len());
        assert_eq!(spec(-1200).unwrap().phrase, "UserContainerDockerOOMKilled");
        assert_eq!(spec(1), None);
    }
}
