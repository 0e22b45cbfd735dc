//! Colours of results.

use anstyle::{AnsiColor, Style};

/// Colours by label, in the order of the request.
const COLORS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Red,
];

/// Whether escapes of colour are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    /// Yes.
    Color,
    /// Not one.
    Plain,
}

impl Paint {
    /// The style of a label's mentions.
    pub(super) fn mention(self, color: usize) -> Style {
        self.of(self.label(color).bold())
    }

    /// The style of the label itself.
    pub(super) fn label(self, color: usize) -> Style {
        match COLORS.get(color % COLORS.len()) {
            Some(color) => self.of(Style::new().fg_color(Some((*color).into()))),
            None => Style::new(),
        }
    }

    /// The style of the summary's spans.
    pub(super) fn summary(self) -> Style {
        self.underlined(self.strong())
    }

    /// `style` for text that also belongs to the summary.
    pub(super) fn underlined(self, style: Style) -> Style {
        self.of(style.underline())
    }

    /// The style of headings, and of what has no colour of its own.
    pub(super) fn strong(self) -> Style {
        self.of(Style::new().bold())
    }

    /// The style of figures beside a result.
    pub(super) fn faint(self) -> Style {
        self.of(Style::new().dimmed())
    }

    fn of(self, style: Style) -> Style {
        if self == Self::Color { style } else { Style::new() }
    }
}
