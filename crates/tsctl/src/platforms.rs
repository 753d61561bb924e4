//! The one visible list of platforms. A platform is added with a dependency, a feature and a line here.

use ts_core::Platform;

/// Every platform that this build knows.
pub(crate) const PLATFORMS: &[Platform] = &[
    #[cfg(feature = "local")]
    ts_local::PLATFORM,
    #[cfg(feature = "remote")]
    ts_remote::PLATFORM,
    #[cfg(feature = "k8s")]
    ts_k8s::KUBEFLOW,
    #[cfg(feature = "k8s")]
    ts_k8s::FRAMEWORK_CONTROLLER,
    #[cfg(feature = "k8s")]
    ts_k8s::KUBERNETES,
    #[cfg(feature = "k8s")]
    ts_k8s::ADL,
    #[cfg(feature = "pai")]
    ts_pai::PLATFORM,
    #[cfg(feature = "pai")]
    ts_pai::PAI_YARN,
    #[cfg(feature = "aml")]
    ts_aml::PLATFORM,
    #[cfg(feature = "dlts")]
    ts_dlts::PLATFORM,
];

/// The platform of this name or alias.
pub(crate) fn named(name: &str) -> Option<&'static Platform> {
    PLATFORMS.iter().find(|p| p.name == name || p.aliases.contains(&name))
}
