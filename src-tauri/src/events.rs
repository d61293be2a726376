//! What a command reports, on its way to the page: in batches, because each delivery wakes the
//! page's main thread.

use std::time::Duration;

use attune_studio::api::Event;
use tauri::ipc::Channel;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout_at};

/// Between two batches: progress need not be smoother.
const PACE: Duration = Duration::from_millis(80);

/// Between two batches with text: reading it grow should look like typing.
const TEXT_PACE: Duration = Duration::from_millis(30);

/// Delivers all reports, in order; the first at once, the last when the command ends. Returns when
/// the sender is gone and everything is delivered.
pub(crate) async fn deliver(reports: UnboundedReceiver<Event>, page: Channel<Vec<Event>>) {
    // A page that was loaded anew no longer listens; its command works on.
    batch(reports, |batch| drop(page.send(batch))).await;
}

async fn batch(mut reports: UnboundedReceiver<Event>, mut send: impl FnMut(Vec<Event>)) {
    let mut next = Instant::now();
    while let Some(first) = reports.recv().await {
        let mut batch = vec![first];
        while let Ok(Some(report)) = timeout_at(next, reports.recv()).await {
            batch.push(report);
        }
        let text = batch
            .iter()
            .any(|report| matches!(report, Event::Text { .. }));
        send(batch);
        next = Instant::now() + if text { TEXT_PACE } else { PACE };
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Instant;

    use super::*;

    fn text(number: usize) -> Event {
        Event::Text {
            text: number.to_string(),
        }
    }

    /// Sends `count` reports at `pace` and returns the batches with the time of their delivery.
    fn batches(count: usize, pace: Duration) -> Vec<(Duration, Vec<Event>)> {
        let (sender, reports) = tokio::sync::mpsc::unbounded_channel();
        let start = Instant::now();
        let work = std::thread::spawn(move || {
            for number in 0..count {
                sender.send(text(number)).unwrap();
                std::thread::sleep(pace);
            }
        });
        let mut seen = Vec::new();
        tauri::async_runtime::block_on(batch(reports, |batch| seen.push((start.elapsed(), batch))));
        work.join().unwrap();
        seen
    }

    #[test]
    fn everything_arrives_in_order_and_in_few_batches() {
        let seen = batches(200, Duration::from_millis(1));
        let all: Vec<_> = seen.iter().flat_map(|(_, batch)| batch.clone()).collect();
        assert_eq!(all, (0..200).map(text).collect::<Vec<_>>());
        assert!(seen.len() < 30, "{} batches", seen.len());
        for pair in seen.windows(2).take(seen.len().saturating_sub(2)) {
            let between = pair[1].0.abs_diff(pair[0].0);
            assert!(between >= TEXT_PACE.mul_f32(0.8), "{between:?}");
        }
    }

    /// The first word must not wait for a second one: here that takes ten seconds to come, so a
    /// busy machine cannot be mistaken for a wait.
    #[test]
    fn a_lone_report_arrives_at_once() {
        let seen = batches(1, Duration::from_secs(10));
        assert_eq!(seen.len(), 1);
        assert!(seen[0].0 < Duration::from_secs(5), "{:?}", seen[0].0);
    }
}
