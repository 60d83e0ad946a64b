//! The words of the protocol: JSON-RPC 2.0, a line each; data in base64, times in nanoseconds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use duewheel_store::{Carried, Headers, RetryOptions};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What this version speaks. One that speaks less is refused by a word of what to do.
pub(crate) const PROTOCOL: u32 = 1;

/// The longest line, in bytes: about as much as one record of the journal takes.
pub(crate) const LONGEST_LINE: usize = 1 << 30;

/// One call.
#[derive(Deserialize)]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) params: Option<&'a RawValue>,
}

/// How a job is retried: retry limit, age limit, shortest and longest pause, whether it starts once at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Retry(Option<u32>, Option<i64>, i64, i64, bool);

impl From<&RetryOptions> for Retry {
    fn from(options: &RetryOptions) -> Self {
        Retry(
            options.retry_limit,
            options.age_limit,
            options.min_backoff,
            options.max_backoff,
            options.at_most_once,
        )
    }
}

impl Retry {
    /// The options, if they do not contradict each other.
    pub(crate) fn options(self) -> Option<RetryOptions> {
        let Retry(retry_limit, age_limit, min_backoff, max_backoff, at_most_once) = self;
        let sound = (0..=max_backoff).contains(&min_backoff)
            && age_limit.is_none_or(|age| age >= 0)
            && !(age_limit.is_some() && retry_limit.is_none() && min_backoff == 0)
            && (!at_most_once || retry_limit == Some(0));
        sound.then_some(RetryOptions {
            retry_limit,
            age_limit,
            min_backoff,
            max_backoff,
            at_most_once,
        })
    }
}

/// Who calls.
#[derive(Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: u32,
}

/// A job that is to be scheduled: `at` a time of the wall clock, or `in` so long from now.
#[derive(Deserialize)]
pub(super) struct Schedule<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) target: Cow<'a, str>,
    pub(super) at: Option<i64>,
    #[serde(rename = "in")]
    pub(super) after: Option<i64>,
    #[serde(borrow, default)]
    pub(super) data: Cow<'a, str>,
    pub(super) retry: Retry,
    /// The id was not made for this job: another may have it.
    #[serde(default)]
    pub(super) given: bool,
    /// The call was cut off, and is made once more.
    #[serde(default)]
    pub(super) again: bool,
    /// What else it says of the job: that is for Python to read.
    #[serde(borrow)]
    pub(super) keywords: Option<&'a RawValue>,
}

/// Many jobs of one target. The ids are 16 bytes each.
#[derive(Deserialize)]
pub(super) struct ScheduleMany<'a> {
    #[serde(borrow)]
    pub(super) ids: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) target: Cow<'a, str>,
    pub(super) at: Option<Vec<i64>>,
    #[serde(rename = "in")]
    pub(super) after: Option<Vec<i64>>,
    #[serde(borrow, default)]
    pub(super) datas: Option<Vec<Cow<'a, str>>>,
    pub(super) retry: Retry,
    #[serde(default)]
    pub(super) again: bool,
    #[serde(borrow)]
    pub(super) keywords: Option<&'a RawValue>,
}

/// A job that is asked about.
#[derive(Deserialize)]
pub(super) struct Named<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    /// Where it is to be moved to.
    pub(super) at: Option<i64>,
    #[serde(default)]
    pub(super) again: bool,
}

/// A bound of time.
#[derive(Deserialize)]
pub(super) struct Before {
    pub(super) before: Option<i64>,
}

/// A file.
#[derive(Deserialize)]
pub(super) struct To<'a> {
    #[serde(borrow)]
    pub(super) path: Cow<'a, str>,
}

/// Bytes as the text that stands for them.
pub(crate) fn text_of(bytes: &[u8], to: &mut String) {
    STANDARD.encode_string(bytes, to);
}

/// The bytes of a text.
pub(crate) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// An answer, as a line.
pub(super) fn answer(id: Option<&RawValue>, result: &str) -> Vec<u8> {
    let id = id.map_or("null", RawValue::get);
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n").into_bytes()
}

/// What a call has failed with, as a line; `kind` is the name of the exception.
pub(super) fn failure(id: Option<&RawValue>, kind: &str, message: &str) -> Vec<u8> {
    let id = id.map_or("null", RawValue::get);
    let message = quoted(message);
    let code = match kind {
        "ParseError" => -32_700,
        "InvalidRequest" => -32_600,
        "InvalidParams" => -32_602,
        _ => -32_000,
    };
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":{message},\
         \"data\":{{\"kind\":\"{kind}\"}}}}}}\n"
    )
    .into_bytes()
}

/// What a job carries, as the keywords by which it was given.
pub(crate) fn carried(carried: &Carried) -> String {
    #[derive(Serialize)]
    struct Keywords<'a> {
        headers: &'a Headers,
        key: Option<&'a str>,
    }
    let keywords = Keywords {
        headers: &carried.headers,
        key: carried.key.as_deref(),
    };
    // Texts always have one.
    serde_json::to_string(&keywords).unwrap_or_default()
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    // A text always has one.
    serde_json::to_string(text).unwrap_or_default()
}
