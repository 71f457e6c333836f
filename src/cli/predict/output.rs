//! Where answers go: a table at the end, standard output, or a file that survives a kill.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use comfy_table::Table;

use super::table::{self, Row};

/// How often a file's new lines are made to be on the disk: what a power failure may cost.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The answers of a block.
pub struct Part {
    /// Inputs that it is of, also of an earlier run.
    pub count: u64,
    pub failed: u64,
    pub written: Written,
}

pub enum Written {
    /// Whole lines.
    Lines(Vec<u8>),
    Rows(Vec<Row>),
}

impl Part {
    pub fn bytes(&self) -> usize {
        match &self.written {
            Written::Lines(lines) => lines.len(),
            Written::Rows(rows) => rows.iter().flatten().map(String::len).sum(),
        }
    }
}

pub enum Output {
    Table(Table),
    Standard(std::io::Stdout),
    /// With when its lines were last made to be on the disk.
    File(File, Instant),
}

impl Output {
    pub fn standard(lines: bool) -> Self {
        if lines { Self::Standard(std::io::stdout()) } else { Self::Table(table::new()) }
    }

    /// Lines are added to its end.
    pub fn file(file: File) -> Self {
        Self::File(file, Instant::now())
    }

    pub fn is_table(&self) -> bool {
        matches!(self, Self::Table(_))
    }

    /// A block's lines go out at once and in order, so that a kill cuts at most the last one.
    pub fn write(&mut self, part: Part) -> anyhow::Result<()> {
        match (self, part.written) {
            (Self::Table(table), Written::Rows(rows)) => {
                table.add_rows(rows);
            }
            (Self::Standard(out), Written::Lines(lines)) => {
                let mut out = out.lock();
                out.write_all(&lines).and_then(|()| out.flush()).context("standard output")?;
            }
            (Self::File(file, synced), Written::Lines(lines)) => {
                file.write_all(&lines).context("--output")?;
                if synced.elapsed() >= SYNC_EVERY {
                    file.sync_data().context("--output")?;
                    *synced = Instant::now();
                }
            }
            (_, Written::Lines(_) | Written::Rows(_)) => unreachable!("one form for all parts"),
        }
        Ok(())
    }

    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Table(table) => writeln!(std::io::stdout(), "{table}").context("standard output"),
            Self::Standard(_) => Ok(()),
            Self::File(file, _) => file.sync_all().context("--output"),
        }
    }
}
