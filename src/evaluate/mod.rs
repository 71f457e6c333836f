//! How good a model's answers are on labelled data.
//!
//! [`data`] gives items one by one; [`survey`] goes through them before a model is asked; [`run`] asks one
//! or two models; [`tally`] counts; [`report`] tells. Every metric is a small function of its own:
//! [`confusion`], [`classification`], [`calibration`], [`regression`], [`mcnemar`].

pub mod bars;
pub mod calibration;
pub mod classification;
pub mod confusion;
pub mod data;
pub mod html;
pub mod labels;
pub mod mcnemar;
pub mod metrics;
pub mod predictions;
pub mod regression;
pub mod report;
pub mod run;
pub mod survey;
pub mod tally;
mod thumbnail;
pub mod worst;
