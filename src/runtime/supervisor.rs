//! Starts the threads of an engine, answers questions while they run, and stops them in order.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use arrow::array::RecordBatch;
use crossbeam_channel::Sender;
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{Error, Result};
use crate::model::epoch::Epoch;
use crate::model::time::EventTime;
use crate::runtime::assemble::{Parts, QUEUES, Start, assemble};
use crate::runtime::committer::{Request, Stop};
use crate::runtime::memory::{self, Budget};
use crate::runtime::pipeline::Pipeline;
use crate::runtime::progress::Progress;
use crate::runtime::task::Question;

/// A running engine.
pub struct Running {
    pub pipeline: Arc<Pipeline>,
    pub progress: Arc<Progress>,
    requests: mpsc::Sender<Request>,
    pub(super) questions: Vec<Sender<Question>>,
    ends: Mutex<Option<Ends>>,
    lanes: Mutex<Vec<JoinHandle<()>>>,
    /// How it ended, once it has.
    ended: Mutex<Option<Result<Epoch>>>,
    stopping: watch::Sender<bool>,
    stop: Arc<AtomicBool>,
}

/// What is waited for when an engine stops; its lanes stay until nobody asks them any more.
struct Ends {
    sources: Vec<JoinHandle<()>>,
    online: tokio::task::JoinHandle<()>,
    committer: tokio::task::JoinHandle<Result<Epoch>>,
}

/// Starts an engine on the current Tokio runtime, to hold no more than `budget`.
pub fn start(from: Start, budget: Budget) -> Result<Running> {
    let (pipeline, interval) = (from.pipeline.clone(), from.checkpoint_interval);
    let parts = assemble(from, QUEUES)?;
    let Parts { ingest, lanes, committer, online, messages, progress, .. } = parts;
    let (requests, requested) = mpsc::channel(8);
    tokio::spawn(memory::watch(budget, progress.clone(), requests.downgrade()));
    let (mut lane_threads, mut sources) = (Vec::new(), Vec::new());
    for task in lanes {
        let thread = std::thread::Builder::new().name(format!("lane-{}", task.index));
        lane_threads.push(thread.spawn(move || task.run())?);
    }
    for task in ingest {
        let name = format!("source-{}", pipeline.sources[task.number].def.name);
        sources.push(std::thread::Builder::new().name(name).spawn(move || task.run())?);
    }
    Ok(Running {
        pipeline,
        progress,
        requests,
        questions: parts.questions,
        ends: Mutex::new(Some(Ends {
            sources,
            online: tokio::spawn(online.run()),
            committer: tokio::spawn(committer.run(messages, requested, interval)),
        })),
        lanes: Mutex::new(lane_threads),
        ended: Mutex::default(),
        stopping: parts.stopping,
        stop: parts.stop,
    })
}

impl Running {
    /// Begins to stop; `wait` tells when it is done. A store that does not answer is given up:
    /// what it misses is written after the next start.
    pub async fn stop(&self, how: Stop) -> Result<()> {
        if how == Stop::Checkpoint {
            self.stopping.send_replace(true);
        }
        // The engine may have stopped by itself meanwhile.
        let _ = self.requests.send(Request::Stop(how)).await;
        Ok(())
    }

    /// Commits now.
    pub async fn checkpoint(&self) -> Result<Epoch> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Checkpoint(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Begins to write every current value of a feature, and of those that read its source.
    pub async fn write_all(&self, feature: usize) -> Result<()> {
        let source = self.pipeline.features[feature].source;
        self.requests.send(Request::WriteAll { source }).await.map_err(|_| gone())
    }

    /// Whether the engine has stopped, or is about to, by itself or by a failure.
    pub fn is_finished(&self) -> bool {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.as_ref().is_none_or(|ends| ends.committer.is_finished())
    }

    /// Waits for the end: the last epoch, or why the engine failed.
    pub async fn wait(&self) -> Result<Epoch> {
        let settled = self.settled().await;
        let left = self.leave().await;
        settled.and_then(|epoch| left.map(|()| epoch))
    }

    /// Waits until everything read is committed and written; the lanes go on answering from what
    /// they hold until they may [`leave`](Self::leave).
    pub async fn settled(&self) -> Result<Epoch> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ends) = ends {
            let result = self.end(ends).await;
            *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.clone().unwrap_or_else(|| Err(gone()))
    }

    async fn end(&self, ends: Ends) -> Result<Epoch> {
        let result = ends.committer.await;
        self.stop.store(true, Relaxed);
        self.stopping.send_replace(true);
        let all_well = joined(ends.sources).await;
        // Its queue is closed now; what it still holds is written or reported.
        let written = ends.online.await.is_ok();
        match result {
            Ok(result) if all_well && written => result,
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) => Err(Error::internal("a thread of the engine panicked")),
            Err(panic) => Err(Error::internal(format!("the committer panicked: {panic}"))),
        }
    }

    /// Ends the lanes: no question is answered any more.
    pub async fn leave(&self) -> Result<()> {
        for lane in &self.questions {
            // One that has failed is gone already.
            let _ = lane.send(Question::Leave);
        }
        let lanes = std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        match joined(lanes).await {
            true => Ok(()),
            false => Err(Error::internal("a lane of the engine panicked")),
        }
    }

    /// The output rows of all keys of a feature at one time.
    pub async fn probe_all(&self, feature: usize, at: EventTime) -> Result<Vec<RecordBatch>> {
        let of = &self.pipeline.features[feature];
        let group = &self.pipeline.groups[of.group].group;
        let reader = group.members[of.member].reader(&group.window);
        let mut all = Vec::new();
        for lane in &self.questions {
            let (reply, answer) = oneshot::channel();
            let question = Question::ProbeAll { group: of.group, at, reply };
            lane.send(question).map_err(|_| gone())?;
            for result in answer.await.map_err(|_| gone())?? {
                all.push(reader.present(&result, at)?);
            }
        }
        Ok(all)
    }
}

/// Joins threads, also those behind one that panicked; whether all ended well.
async fn joined(threads: Vec<JoinHandle<()>>) -> bool {
    let joined = tokio::task::spawn_blocking(move || {
        let ended: Vec<bool> = threads.into_iter().map(|t| t.join().is_ok()).collect();
        ended.into_iter().all(|well| well)
    });
    joined.await.unwrap_or(false)
}

/// The error of a question to an engine that is no more.
pub(super) fn gone() -> Error {
    Error::unavailable("the engine has stopped")
}
