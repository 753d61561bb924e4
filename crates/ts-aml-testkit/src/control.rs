//! What a test can see and do from outside the platform's own interfaces.

use crate::{
    clock,
    entra::tokens::Decision,
    faults::{Armed, Fault, Matcher},
    life::job::Order,
    log::Request,
    server::AmlServer,
    world::{BLOBSTORE, Doom},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

impl AmlServer {
    /// The next requests of this kind go wrong.
    pub fn fault(&self, matcher: Matcher, fault: Fault, times: usize) {
        assert!(times > 0, "a fault that never happens");
        let armed = Armed { matcher, fault, times };
        self.shared.world().faults.push(armed);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.shared.world().faults.clear();
    }

    /// How many faults wait for their requests.
    pub fn faults_left(&self) -> usize {
        self.shared.world().faults.iter().map(|armed| armed.times).sum()
    }

    /// All requests so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.world().requests.clone()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.shared.world().requests.clear();
    }

    /// Names of all jobs, the oldest first.
    pub fn jobs(&self) -> Vec<String> {
        self.shared.world().jobs.iter().map(|job| job.id.clone()).collect()
    }

    /// The status of a job, as the platform tells it.
    pub fn status(&self, job: &str) -> Option<String> {
        let mut world = self.shared.world();
        world.job(job).map(|job| job.told().to_owned())
    }

    /// How often the command of a job was started.
    pub fn starts(&self, job: &str) -> u32 {
        self.shared.world().job(job).map_or(0, |job| job.starts)
    }

    /// Waits until a job has this status.
    pub async fn reached(&self, job: &str, status: &str) {
        self.shared
            .wait(|world| world.job(job).filter(|job| job.told() == status).map(|_| ()))
            .await;
    }

    /// Jobs stay in this status from now on.
    pub fn hold(&self, status: &str) {
        self.shared.change(|world| world.held.insert(status.to_owned()));
    }

    /// Jobs go on from this status.
    pub fn let_go(&self, status: &str) {
        self.shared.change(|world| world.held.remove(status));
    }

    /// Jobs go on from all statuses.
    pub fn release(&self) {
        self.shared.change(|world| world.held.clear());
    }

    /// The next job that reaches this status fails there, as one whose image cannot be pulled does in `Preparing`.
    pub fn doom(&self, status: &str, code: &str, message: &str) {
        let doom = Doom {
            status: status.to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
        };
        self.shared.change(|world| world.doom.push(doom));
    }

    /// Compute targets get no nodes, and say why; `None`: they do again.
    pub fn compute_error(&self, error: Option<(&str, &str)>) {
        self.shared.world().compute_error = error.map(|(code, message)| (code.to_owned(), message.to_owned()));
    }

    /// The platform hears nothing from the node of a job, or hears of it again: status `NotResponding`.
    pub fn silence(&self, job: &str, is_silent: bool) {
        self.shared.change(|world| {
            world.job(job).unwrap_or_else(|| panic!("no job {job}")).silent = is_silent;
        });
    }

    /// The platform tells this as the status of a job, whatever it is; `None` ends that.
    pub fn tell_status(&self, job: &str, status: Option<&str>) {
        self.shared.change(|world| {
            world.job(job).unwrap_or_else(|| panic!("no job {job}")).told_as = status.map(str::to_owned);
        });
    }

    /// The node of a job is taken away; the job starts once more, as those of clusters of low priority do.
    pub fn preempt(&self, job: &str) {
        self.shared.change(|world| {
            let job = world.job(job).unwrap_or_else(|| panic!("no job {job}"));
            assert!(job.status == "Running", "job {} does not run", job.id);
            job.order = Order::Preempt;
        });
    }

    /// Somebody else cancels a job.
    pub fn cancel(&self, job: &str) {
        self.shared.change(|world| {
            let job = world.job(job).unwrap_or_else(|| panic!("no job {job}"));
            assert!(!job.is_over(), "job {} has ended", job.id);
            job.cancel = true;
            "CancelRequested".clone_into(&mut job.status);
        });
    }

    /// Somebody removes a job, with its processes, whatever it does.
    pub fn vanish(&self, job: &str) {
        self.shared.change(|world| world.jobs.retain(|one| one.id != job));
    }

    /// Ends all access tokens now, and those of runs.
    pub fn expire_tokens(&self) {
        self.shared.change(|world| {
            world.tokens.expire();
            for job in &mut world.jobs {
                job.token_until = clock::now();
            }
        });
    }

    /// Somebody revokes all logins: what renews them is refused, and all access tokens end.
    pub fn revoke_logins(&self) {
        self.expire_tokens();
        self.shared.world().tokens.refresh.clear();
    }

    /// Whoever asks for a device code that waits is told once that it asks too often.
    pub fn slow_devices(&self) {
        for device in &mut self.shared.world().tokens.devices {
            device.is_hurried = true;
        }
    }

    /// The secret of the application ran out.
    pub fn expire_secret(&self) {
        self.shared.world().secret_expired = true;
    }

    /// What the identity of the machine answers first, before it works: 404, 410, 429, 5xx.
    pub fn imds_phases(&self, statuses: &[u16]) {
        self.shared.world().imds_phases.extend(statuses);
    }

    /// User codes of the logins that wait.
    pub fn device_codes(&self) -> Vec<String> {
        let world = self.shared.world();
        world
            .tokens
            .devices
            .iter()
            .map(|device| device.user_code.clone())
            .collect()
    }

    /// Somebody enters the user code, and lets the device in or not.
    pub fn decide_device(&self, user_code: &str, lets_in: bool) {
        let mut world = self.shared.world();
        let mut devices = world.tokens.devices.iter_mut();
        let device = devices.find(|device| device.user_code == user_code);
        let device = device.unwrap_or_else(|| panic!("no login with code {user_code}"));
        device.decision = if lets_in {
            Decision::Approved
        } else {
            Decision::Declined
        };
    }

    /// A blob of the default datastore.
    pub fn blob(&self, name: &str) -> Option<Vec<u8>> {
        self.blob_of(BLOBSTORE, name)
    }

    /// A blob of a container.
    pub fn blob_of(&self, container: &str, name: &str) -> Option<Vec<u8>> {
        let world = self.shared.world();
        world.blobs.get(container, name).map(|blob| blob.content.clone())
    }

    /// Names of the blobs in a folder of the default datastore.
    pub fn blobs(&self, folder: &str) -> Vec<String> {
        let world = self.shared.world();
        world.blobs.names(BLOBSTORE, folder).map(str::to_owned).collect()
    }

    /// Names of all containers.
    pub fn containers(&self) -> Vec<String> {
        self.shared.world().blobs.containers.keys().cloned().collect()
    }

    /// The name and the key of the storage account.
    pub fn account(&self) -> (String, String) {
        let world = self.shared.world();
        (world.blobs.account.clone(), STANDARD.encode(world.blobs.key))
    }
}
