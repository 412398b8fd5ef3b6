//! **Duty.** The report as one self-contained page: no script, no asset, the same bytes for the same report.
//! **Knows** the report's fields and how people read figures. **Does not know** how anything was derived; it prints
//! what the report says. **Spec.** COMPUTE §7 and §10.

mod drawing;
mod escape;
mod form;
mod page;

use askama::Template;
use thiserror::Error;
use weighbridge_attest_types::{Culprit, ThresholdReport};

use crate::html::page::Page;

/// Why a page could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HtmlError {
    /// The report has no line for the profile that was to lead.
    #[error("the report has no line for profile `{0}`")]
    NoSuchProfile(String),
    /// The template failed.
    #[error("the page could not be written")]
    Template(#[source] askama::Error),
}

impl HtmlError {
    /// Whose fault it is.
    #[must_use]
    pub const fn culprit(&self) -> Culprit {
        match self {
            Self::NoSuchProfile(_) => Culprit::Usage,
            Self::Template(_) => Culprit::Internal,
        }
    }
}

/// Writes the page; `headline` is the id of the profile whose verdict leads.
///
/// # Errors
/// [`HtmlError`].
pub fn render(report: &ThresholdReport, headline: &str) -> Result<String, HtmlError> {
    let page = Page::new(report, headline).ok_or_else(|| HtmlError::NoSuchProfile(headline.to_owned()))?;
    page.render().map_err(HtmlError::Template)
}

#[cfg(test)]
pub(crate) fn sample_report() -> ThresholdReport {
    serde_json::from_str(include_str!("html/sample.json")).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weighbridge_attest_types::{Flops, Grade, Verdict};

    fn page(change: impl FnOnce(&mut ThresholdReport)) -> String {
        let mut report = sample_report();
        change(&mut report);
        render(&report, "eu-ai-act-51-2").unwrap()
    }

    #[test]
    fn the_page_is_a_function_of_the_report() {
        assert_eq!(page(|_| ()), page(|_| ()));
        assert_ne!(page(|_| ()), page(|report| report.appraised_at.0 += 1_000));
    }

    #[test]
    fn a_profile_that_the_report_does_not_judge_cannot_lead() {
        let refused = render(&sample_report(), "other").unwrap_err();
        assert_eq!(refused.to_string(), "the report has no line for profile `other`");
        assert_eq!(refused.culprit(), Culprit::Usage);
    }

    #[test]
    fn the_warning_comes_before_every_verdict_and_figure() {
        let page = page(|_| ());
        let body = &page[page.find("<body>").unwrap()..];
        let warning = body.find("SIMULATED: this report rests on").unwrap();
        for later in ["<h1>", "below the threshold", "FLOP"] {
            assert!(warning < body.find(later).unwrap(), "{later}");
        }
        assert!(page.contains("<title>Simulated: below the threshold — this run alone. Training compute report, "));
        assert!(page.contains("Simulated: below the threshold <span class=\"scope\">— this run alone</span></p>"));
    }

    #[test]
    fn without_a_warning_the_word_stands_nowhere_but_in_the_glossary() {
        let page = page(|report| {
            report.warning.text.clear();
            report.anchors.clear();
            report.bracket.grade = Grade::Attested;
            report.profiles.iter_mut().for_each(|line| line.grade = Grade::Attested);
            report.declared.iter_mut().for_each(|line| line.grade = Grade::Declared);
            report.nodes.iter_mut().for_each(|node| node.grade = Grade::Attested);
            report.checkpoints.iter_mut().for_each(|line| line.grade = Grade::Declared);
            report.attempts.iter_mut().for_each(|line| line.grade = Grade::Declared);
            report.ledger.iter_mut().for_each(|line| line.grade = Grade::Attested);
            report
                .profiles
                .iter_mut()
                .filter_map(|line| line.clock.as_mut())
                .for_each(|line| line.grade = Grade::Attested);
            report.verify_command = "weighbridge verify BUNDLE --at archived".to_owned();
        });
        let body = &page[page.find("<body>").unwrap()..];
        assert!(body.contains("Attested: below the threshold"));
        assert_eq!(body.to_lowercase().matches("simulated").count(), 1);
        assert!(!body.contains("--trust-roots"));
    }

    #[test]
    fn names_from_outside_cannot_become_markup_or_hide() {
        let page = page(|report| {
            report.provider = "<script>alert(1)</script>".to_owned();
            report.model_id = "\"><img src=x onerror='x'>&".to_owned();
            report.phase = "pre\u{202e}gniniart".to_owned();
            report.nodes[0].devices[0].sku = "</td></table><b>".to_owned();
            report.fleet[0].sku = "</td></table><b>".to_owned();
            report.gaps[0].cause = "<i>because</i>".to_owned();
        });
        for raw in ["<script", "<img", "<b>", "<i>", "\u{202e}"] {
            assert!(!page.contains(raw), "{raw}");
        }
        assert!(page.contains("&#60;script&#62;alert(1)&#60;/script&#62;"));
        assert!(page.contains("pre\\u{202e}gniniart"));
        assert!(page.contains("<title>Simulated: "));
    }

    #[test]
    fn names_stay_quoted_below_a_heading_that_is_ours() {
        let usual = page(|_| ()).len();
        for (name, shown) in [
            ("Attested: below the threshold".to_owned(), "Attested: below the threshold".to_owned()),
            ("x\u{a0}\u{a0}\u{2800}y".to_owned(), "x\\u{a0}\\u{a0}\\u{2800}y".to_owned()),
            ("אבג דהו".to_owned(), "אבג דהו".to_owned()),
            ("x” by “y".to_owned(), "x\\u{201d} by \\u{201c}y".to_owned()),
            ("x".repeat(1 << 16), "x".repeat(120) + "…"),
        ] {
            let page = page(|report| {
                (report.model_id, report.provider, report.phase) = (name.clone(), name.clone(), name.clone());
                report.nodes.iter_mut().flat_map(|node| &mut node.devices).for_each(|line| line.sku = name.clone());
                report.fleet.iter_mut().for_each(|line| line.sku = name.clone());
                report.ledger.iter_mut().for_each(|line| line.phase = name.clone());
            });
            assert!(page.contains("<h1>Training compute report</h1>"));
            assert!(page.contains(&format!("Training compute report, declared model “{shown}”</title>")));
            let quoted = format!("“<bdi>{shown}</bdi>”");
            let own = format!("Declared model {quoted} by {quoted}, phase {quoted} (provider’s own words).</p>");
            assert!(page.contains(&own), "{own}");
            // The title, the three names, the phase in ledger and form, one kind of accelerator in list and form, and each
            // accelerator.
            assert_eq!(page.matches(&format!("“{shown}”")).count(), 1);
            let devices = sample_report().nodes.iter().map(|node| node.devices.len()).sum::<usize>();
            assert_eq!(page.matches(&quoted).count(), 7 + devices);
            assert_eq!(page.matches(&shown).count(), 8 + devices);
            assert!(page.len() < usual + 3_000, "{}", page.len());
        }
    }

    #[test]
    fn every_threshold_says_that_it_counts_more_than_this_run() {
        for id in ["eu-ai-act-51-2", "eu-gpai-2-1"] {
            let page = render(&sample_report(), id).unwrap();
            assert_eq!(
                page.matches("This threshold counts all runs of the model, and this page weighs one.").count(),
                1
            );
            assert_eq!(page.matches("This threshold counts all runs of the model; this page weighs one.").count(), 4);
            assert!(page.contains("<title>Simulated: below the threshold — this run alone. "));
        }
        let page = render(&sample_report(), "eu-gpai-2-1").unwrap();
        assert!(page.contains("eu-gpai-2-1 at 1.0×10^23 FLOP (simulated: below the threshold — this run alone);"));
    }

    #[test]
    fn a_time_that_may_be_running_is_not_said_to_stand_still() {
        let unsure = page(|_| ());
        assert!(unsure.contains("It is not known whether a time to notify is running"));
        assert!(unsure.contains("the provider states nothing of the others"));
        let sure = page(|report| report.profiles[0].clock.iter_mut().for_each(|clock| clock.is_unsure = false));
        assert!(
            sure.contains("Nothing on this page begins a time to notify") && !sure.contains("It is not known whether")
        );
    }

    #[test]
    fn a_readers_own_profile_is_marked_wherever_its_verdict_leads() {
        let page = page(|report| report.profiles[0].origin = weighbridge_attest_types::ProfileOrigin::Reader);
        assert!(page.contains("this run alone, by the reader’s own profile eu-ai-act-51-2. Training compute report"));
        assert_eq!(page.matches("The reader’s own profile “eu-ai-act-51-2”, in no bundle").count(), 2);
        assert!(page.contains("which names “<bdi>Regulation (EU) 2024/1689 (AI Act)</bdi>”"));
    }

    #[test]
    fn a_statement_in_another_name_is_told_at_the_top() {
        let statement = |name: &str| {
            let text = include_str!("../../tests/src/parsers/declarations.json").replace("Example Provider", name);
            let content = weighbridge_attest_types::Declarations::parse(text.as_bytes()).unwrap();
            weighbridge_attest_types::StatementLine { sha256: Default::default(), content, grade: Grade::Declared }
        };
        let told = "The statement in the bundle is made in another name: “<bdi>X GmbH</bdi>”.";
        assert!(page(|report| report.statement = Some(statement("X GmbH"))).contains(told));
        let same = sample_report().provider;
        assert!(!page(|report| report.statement = Some(statement(&same))).contains("made in another name"));
    }

    #[test]
    fn nothing_is_fetched_and_nothing_runs() {
        let page = page(|_| ());
        for word in ["<script", "<link", "src=", "url(", "@import", "http://", "https://", "javascript"] {
            assert!(!page.contains(word), "{word}");
        }
        // Links lead to words and sections of the page itself, and each of them exists.
        let targets: Vec<&str> = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(!targets.is_empty());
        for target in targets {
            let id = target.strip_prefix('#').expect("a link within the page");
            assert!(page.contains(&format!("id=\"{id}\"")), "{target}");
        }
        assert!(page.contains("default-src 'none'"));
        assert!(!include_str!("../templates/report.html").contains("|safe"));
    }

    #[test]
    fn the_page_reads_well_without_eyes() {
        let page = page(|_| ());
        assert!(page.contains("<html lang=\"en\">"));
        let levels: Vec<u8> =
            page.match_indices("<h").filter_map(|(at, _)| page.as_bytes().get(at + 2)).copied().collect();
        let levels: Vec<u8> = levels.into_iter().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
        assert_eq!(levels.first(), Some(&1));
        assert_eq!(levels.iter().filter(|&&level| level == 1).count(), 1);
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
        assert_eq!(page.matches("<th").count() - page.matches("<thead").count(), page.matches("scope=").count());
        assert!(page.contains("<title id=\"drawing-title\">") && page.contains("<desc id=\"drawing-description\">"));
        for table in page.split("<table>").skip(1) {
            assert!(table.trim_start().starts_with("<caption"), "{table:.40}");
        }
    }

    #[test]
    fn every_opened_element_is_closed() {
        let page = page(|report| report.bracket.upper = None);
        let mut open: Vec<&str> = Vec::new();
        let body = &page[page.find("<body>").unwrap()..page.find("</html>").unwrap()];
        for tag in body.split('<').skip(1) {
            let tag = tag.split('>').next().unwrap();
            let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn a_crossing_by_rounding_is_said_beside_the_verdict() {
        let page = page(|report| {
            report.bracket.upper = Some(Flops(104 * 10u128.pow(23)));
            report.profiles[0].verdict = Verdict::Straddles;
        });
        assert!(page.contains("the upper bound equals the threshold; exactly, it is above the threshold"));
        assert!(page.contains("exactly 10,400,000,000,000,000,000,000,000"));
        assert!(page.contains("Treat this as above the threshold."));
    }

    #[test]
    fn a_missing_upper_bound_is_said_and_never_drawn_as_a_figure() {
        let page = page(|report| {
            (report.bracket.upper, report.bracket.width) = (None, None);
            report.bracket.clock = "host".to_owned();
            report.profiles.iter_mut().for_each(|line| line.verdict = Verdict::Unknown);
        });
        assert!(page.contains("no upper figure is known"));
        assert!(page.contains("an upper end that is not known"));
        assert!(page.contains("the operator’s clock (host)"));
    }

    #[test]
    fn text_stands_out_from_paper_by_at_least_four_and_a_half() {
        for scheme in include_str!("../templates/report.css").split("--paper: ").skip(1) {
            let colour = |name: &str| {
                let text = format!("--paper: {scheme}");
                let value = text.split(&format!("--{name}: #")).nth(1).unwrap();
                luminance(value.split(';').next().unwrap())
            };
            for (ink, paper) in [
                ("ink", "paper"),
                ("soft", "paper"),
                ("accent", "paper"),
                ("good", "paper"),
                ("bad", "paper"),
                ("ink", "wash"),
                ("on-alarm", "alarm"),
            ] {
                let (ink_light, paper_light) = (colour(ink), colour(paper));
                let (high, low) = (ink_light.max(paper_light), ink_light.min(paper_light));
                assert!((high + 0.05) / (low + 0.05) >= 4.5, "{ink} on {paper}: {}", (high + 0.05) / (low + 0.05));
            }
        }
    }

    /// WCAG 2 relative luminance.
    fn luminance(hex: &str) -> f64 {
        let hex = if hex.len() == 3 { hex.chars().flat_map(|digit| [digit, digit]).collect() } else { hex.to_owned() };
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
    }
}
