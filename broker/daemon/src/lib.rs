//! The daemon that holds every port of every modem exclusively and serves gRPC.

pub mod audio;
pub mod config;
pub mod device;
pub mod figures;
pub mod metrics;
pub mod modem;
pub mod net;
pub mod port;
pub mod refusal;
pub mod resource;
pub mod scope;
pub mod secret;
pub mod server;
pub mod store;
pub mod supervisor;
pub mod systemd;
pub mod tail;
pub mod wan;
pub mod watchdog;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use config::Config;
use metrics::MetricsListener;
use modem::{ModemHandle, Modems, Setup};
use resource::DataUsage;
use server::Context;
use store::Store;
use wan::{WanHandle, usage};

/// Why the broker could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listener could not be had.
    #[error(transparent)]
    Listen(#[from] server::listen::ListenError),
    /// The metrics could not be served.
    #[error(transparent)]
    Metrics(#[from] metrics::MetricsListenError),
    /// The store could not be opened.
    #[error("failed to open the store {path}")]
    Store {
        /// The database.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: store::StoreError,
    },
    /// Serving failed.
    #[error("failed to serve")]
    Serve(#[from] server::listen::ServeError),
}

/// How long the modems may take to let go of their ports at the end.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Runs the broker until the shutdown is over.
///
/// The state directory is locked, listeners are bound and the store is opened before the first modem is touched, so a second
/// broker stops before it disturbs the first.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), RunError> {
    // Without the sender nothing is ever reloaded.
    let (_, never) = mpsc::channel(1);
    run_reloading(config, never, shutdown).await
}

/// The same; of each configuration that comes, who may do what is put in force, which ends no call and no connection.
pub async fn run_reloading(
    config: Config,
    reloads: mpsc::Receiver<Config>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let path = config.broker.database();
    let _directory = store::DirectoryLock::take(&path).map_err(|source| RunError::Store {
        path: path.clone(),
        source,
    })?;
    let listeners = server::listen::bind(&config.broker).await?;
    let metrics_listener = match config.metrics.listen {
        Some(address) => Some(MetricsListener::bind(address).await?),
        None => None,
    };
    let store = Store::open(&path)
        .await
        .map_err(|source| RunError::Store { path, source })?;
    let (stop, stopping) = watch::channel(false);

    let watchdog = systemd::watchdog();
    let (bus, watcher) = device::Bus::open(&config.discovery.sysfs, &config.discovery.dev);
    let bus_watcher = supervisor::spawn("usb", "", watcher.run());
    let mut voice = config.voice.clone();
    voice
        .recording
        .directory
        .get_or_insert_with(|| config.broker.state_directory.join("recordings"));
    let mut handles = Vec::new();
    let mut tasks = Vec::new();
    let mut totals = BTreeMap::new();
    for modem in &config.modems {
        if let Err(error) = store.recover(&modem.name).await {
            tracing::error!(
                modem = modem.name,
                error = &error as &dyn std::error::Error,
                "could not close what the last run left open; some calls and messages may show an old state"
            );
        }
        if metrics_listener.is_some() {
            totals.insert(modem.name.clone(), Arc::default());
        }
        let setup = Setup {
            config: modem.clone(),
            totals: totals.get(&modem.name).cloned(),
            voice: voice.clone(),
            bus: bus.clone(),
            sysfs: config.discovery.sysfs.clone(),
            lock_directory: config.broker.lock_directory.clone(),
            provider_info: config.carriers.provider_info.clone(),
            store: store.clone(),
            progress: watchdog.watch(),
            trace: port::trace::Trace::new(config.diagnostics.trace_bytes),
        };
        let (handle, actor, recorder) = modem::open(setup, stopping.clone());
        handles.push(handle);
        tasks.push(supervisor::spawn("modem", &modem.name, actor.run()));
        tasks.push(supervisor::spawn("recorder", &modem.name, recorder));
    }
    let data_cap = server::DataCap {
        bytes: config.wan.cap,
        day: config.wan.cap_day,
    };
    let wan = start_wan(&config, &handles, &store, stopping.clone(), &mut tasks);
    let store_health = supervisor::spawn("store", "", keep_watched(store.clone()));
    let retention = supervisor::spawn("retention", "", keep_pruned(store.clone(), config.store));

    let context = Context {
        modems: Modems::new(handles),
        store,
        limits: config.limits.into(),
        wan,
        data_cap,
        raw_at: config.diagnostics.raw_at,
        raw_qmi: config.diagnostics.raw_qmi,
        emergency_calls: config.voice.emergency_calls,
        start_time: jiff::Timestamp::now(),
        budget: Arc::default(),
        reattach_grace: (config.voice.on_abandoned == modem::settings::OnAbandoned::HangUp)
            .then_some(config.voice.reattach_grace),
        shutdown: stopping,
    };
    let scraped = metrics_listener.map(|listener| {
        let (modems, store) = (context.modems.clone(), context.store.clone());
        let sources = metrics::Sources { modems, store, totals };
        supervisor::spawn("metrics", "", listener.serve(sources))
    });
    let routes = server::routes(context.clone()).await;
    let access = server::auth::Access::new(&config.broker);
    let reloading = supervisor::spawn("reload", "", keep_reloaded(access.clone(), reloads));
    let status = supervisor::spawn("systemd", "", systemd::keep_told(context.modems.clone()));
    systemd::ready();
    let begin_stop = async move {
        shutdown.await;
        systemd::stopping();
        stop.send_replace(true);
    };
    let served = server::listen::serve(listeners, routes, &access, begin_stop).await;
    retention.abort();
    store_health.abort();
    reloading.abort();
    bus_watcher.abort();
    status.abort();
    if let Some(scraped) = scraped {
        scraped.abort();
    }
    for task in tasks {
        if tokio::time::timeout(STOP_LIMIT, task).await.is_err() {
            tracing::warn!("a modem did not close its ports in time");
        }
    }
    Ok(served?)
}

/// Starts what counts the data of each modem, and what chooses the WAN; nothing chooses when nobody said which of several
/// modems is the backup. The tasks that have something to put back are added to those that are waited for.
fn start_wan(
    config: &Config,
    handles: &[ModemHandle],
    store: &Store,
    stopping: watch::Receiver<bool>,
    tasks: &mut Vec<JoinHandle<()>>,
) -> Option<WanHandle> {
    let only = (config.modems.len() == 1).then(|| config.modems[0].name.clone());
    let backup = config.wan.modem.clone().or(only);
    let mut wan = None;
    for (handle, modem) in handles.iter().zip(&config.modems) {
        let (usage, used) = watch::channel(DataUsage::default());
        let (day, name) = (config.wan.cap_day, modem.name.clone());
        let counting = usage::keep_counted(store.clone(), name, handle.snapshots(), day, usage);
        supervisor::spawn("usage", &modem.name, counting);
        if backup.as_ref() != Some(&modem.name) {
            continue;
        }
        let setup = wan::actor::Setup {
            config: config.wan.clone(),
            modem: handle.clone(),
            roaming: modem.data.roaming,
            usage: used,
            store: store.clone(),
            sysfs: config.discovery.sysfs.clone(),
            state_directory: config.broker.state_directory.clone(),
        };
        let (handle, actor, hook) = wan::actor::open(setup, stopping.clone());
        tasks.push(supervisor::spawn("wan", &modem.name, actor.run()));
        if let Some(hook) = hook {
            tasks.push(supervisor::spawn("wan hook", "", hook));
        }
        wan = Some(handle);
    }
    wan
}

async fn keep_watched(store: Store) {
    store.keep_watched().await;
}

async fn keep_pruned(store: Store, retention: store::Retention) {
    store.keep_pruned(retention).await;
}

async fn keep_reloaded(access: server::auth::Access, mut reloads: mpsc::Receiver<Config>) {
    while let Some(config) = reloads.recv().await {
        access.replace(&config.broker);
        tracing::info!("tokens, certificates, users and groups were read again; everything else takes a restart");
    }
}
