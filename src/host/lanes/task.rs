//! What the XMPP process has the workers do: the requests of the gateway, and its calls of the host's own presence server.

use super::Lanes;
use crate::calls::publisher::Publication;
use crate::host::publications::Operation;
use crate::process::host::HostError;
use crate::sip::Message;
use crate::sip::Notify;
use crate::sip::Publish;
use crate::sip::Subscribe;
use crate::sip::Uri;
use crate::sip::Withdrawal;
use crate::worker::Worker;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::host) enum Task<'a> {
    /// Send a MESSAGE through tm.
    Message(&'a Message),
    /// Send a NOTIFY through tm, in its dialog.
    Notify(&'a Notify),
    /// Publish through pua.
    Publish(&'a Publish),
    /// End a publication that pua may not know, through tm.
    Withdraw(&'a Withdrawal),
    /// Subscribe through pua.
    Subscribe(&'a Subscribe),
    /// Store a state in this host's own presence server, which tells the watchers.
    State(&'a Publish, Operation),
    /// The same with the lamp of an XMPP user.
    Lamp(&'a Publish, Operation),
    /// Publish the dialog of a call: through pua, or in this host's own presence server.
    Call(&'a Publication),
    /// Have this host's own presence server judge the watchers of this presentity anew.
    Judge(&'a Uri),
}

/// What has to stay in order, and so has to go by the same lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Order<'a> {
    /// The MESSAGEs from one user to another.
    Conversation(&'a str, &'a str),
    /// The states of one presentity.
    Presentity(&'a str),
    /// The SUBSCRIBEs of one user to another.
    Subscription(&'a str, &'a str),
    /// All that the presence server is asked for. One at a time: `host/publications.rs` says why.
    PresenceServer,
    /// The publications of calls: one at a time, for the same reason. A lane of their own, as a lamp does not wait for a burst of presence.
    Calls,
    /// None: of a dialog's NOTIFYs there is one under way at the most.
    None,
}

impl<'a> Task<'a> {
    pub(super) fn order(self) -> Order<'a> {
        match self {
            Self::Message(message) => Order::Conversation(&message.from, &message.to),
            Self::Notify(_) => Order::None,
            Self::Publish(publish) => Order::Presentity(&publish.presentity),
            Self::Withdraw(withdrawal) => Order::Presentity(&withdrawal.presentity),
            Self::Subscribe(subscribe) => Order::Subscription(&subscribe.watcher, &subscribe.presentity),
            Self::Call(_) => Order::Calls,
            Self::State(..) | Self::Lamp(..) | Self::Judge(_) => Order::PresenceServer,
        }
    }
}

/// The host's tm, pua and presence server.
pub(in crate::host) trait Requests {
    /// Sends a MESSAGE.
    fn message(&self, message: &Message) -> Result<(), HostError>;
    /// Sends a NOTIFY.
    fn notify(&self, notify: &Notify) -> Result<(), HostError>;
    /// Publishes.
    fn publish(&self, publish: &Publish) -> Result<(), HostError>;
    /// Ends a publication by its entity tag.
    fn withdraw(&self, withdrawal: &Withdrawal) -> Result<(), HostError>;
    /// Subscribes.
    fn subscribe(&self, subscribe: &Subscribe) -> Result<(), HostError>;
    /// Stores a state.
    fn state(&self, publish: &Publish, operation: Operation) -> Result<(), HostError>;
    /// Stores a lamp.
    fn lamp(&self, publish: &Publish, operation: Operation) -> Result<(), HostError>;
    /// Publishes the dialog of a call.
    fn call(&self, publication: &Publication) -> Result<(), HostError>;
    /// Has watchers judged anew.
    fn judge(&self, presentity: &Uri) -> Result<(), HostError>;
}

/// Performs a task, in any process; what the host refuses goes back to the XMPP process.
pub(in crate::host) fn perform(task: Task<'_>, host: &impl Requests, worker: &Worker, lanes: &Lanes) {
    match task {
        Task::Message(message) => {
            if let Err(error) = host.message(message) {
                worker.message_refused(message, error);
            }
        }
        Task::Notify(notify) => {
            if let Err(error) = host.notify(notify) {
                worker.notify_refused(notify, error);
            }
        }
        Task::Publish(publish) => {
            if let Err(error) = host.publish(publish) {
                worker.publish_refused(publish, error);
            }
        }
        Task::Withdraw(withdrawal) => {
            if let Err(error) = host.withdraw(withdrawal) {
                log::warn!("what was published of {} before a restart cannot be taken away: {error}", withdrawal.presentity);
            }
        }
        Task::Subscribe(subscribe) => {
            if let Err(error) = host.subscribe(subscribe) {
                worker.subscribe_refused(subscribe, error);
            }
        }
        Task::State(publish, operation) => {
            if let Err(error) = host.state(publish, operation) {
                worker.publish_refused(publish, error);
                lanes.count_failure();
            }
        }
        Task::Lamp(publish, operation) => {
            if let Err(error) = host.lamp(publish, operation) {
                log::error!("the lamp of {} cannot be published: {error}", publish.presentity);
                lanes.count_failure();
            }
        }
        Task::Call(publication) => {
            if let Err(error) = host.call(publication) {
                worker.call_refused(publication, error);
            }
        }
        Task::Judge(presentity) => match host.judge(presentity) {
            // Where there is no presence server, the watchers are the gateway's own.
            Ok(()) | Err(HostError::Missing(_)) => {}
            Err(error) => worker.watchers_not_told(presentity, error),
        },
    }
}
