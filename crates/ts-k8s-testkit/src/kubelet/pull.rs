//! Waiting for the image of a container: what the pod and its events say meanwhile.
//!
//! Source: kubernetes v1.20, `pkg/kubelet/images/image_manager.go`; reasons, messages and their order were observed on v1.20.2.

use super::{clock, container::Runner, image, settings::BackOff};

impl Runner {
    /// Waits for the image. Nothing: the pod is ordered to end.
    pub(super) async fn pull(&self) -> Option<()> {
        let image = self.container.image.as_deref().unwrap_or_default();
        let mut tries = BackOff::new(self.shared.settings().back_off);
        loop {
            let settings = self.shared.settings();
            let is_missing = settings.missing_images.contains(image);
            let problem = match image::check(image) {
                Err(problem) => {
                    self.report(true, "InspectFailed", problem.message.clone());
                    problem
                }
                Ok(()) if is_missing && self.container.image_pull_policy.as_deref() == Some("Never") => {
                    let problem = image::never_pulled(image);
                    self.report(true, problem.reason, problem.message.clone());
                    problem
                }
                Ok(()) if !is_missing && settings.pull_delay.is_none() => {
                    let message = format!("Container image \"{image}\" already present on machine");
                    self.report(false, "Pulled", message);
                    return Some(());
                }
                Ok(()) => {
                    self.report(false, "Pulling", format!("Pulling image \"{image}\""));
                    let delay = settings.pull_delay.unwrap_or_default();
                    self.pod.unless_stopped(clock::sleep(delay)).await?;
                    if !is_missing {
                        let message = format!("Successfully pulled image \"{image}\" in {delay:?}");
                        self.report(false, "Pulled", message);
                        return Some(());
                    }
                    let problem = image::not_found(image);
                    self.report(
                        true,
                        "Failed",
                        format!("Failed to pull image \"{image}\": {}", problem.message),
                    );
                    problem
                }
            };
            self.report(true, "Failed", format!("Error: {}", problem.reason));
            let is_pull = problem.reason == "ErrImagePull";
            self.pod.wait(self.slot, problem.reason, Some(problem.message));
            let wait = tries.wait();
            if is_pull {
                // The next look at the pod finds that it is too early for another try.
                self.pod.unless_stopped(clock::sleep(wait / 2)).await?;
                let problem = image::back_off(image);
                self.report(false, "BackOff", problem.message.clone());
                self.report(true, "Failed", format!("Error: {}", problem.reason));
                self.pod.wait(self.slot, problem.reason, Some(problem.message));
                self.pod.unless_stopped(clock::sleep(wait / 2)).await?;
            } else {
                self.pod.unless_stopped(clock::sleep(wait)).await?;
            }
        }
    }
}
