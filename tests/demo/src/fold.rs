//! Polls in the story: an exchange that repeats the one before it on its port is counted instead of told.

/// Takes the dialogue of one port line by line, and says which lines are news.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// The exchange that was told last: its command, then what the modem said.
    told: Vec<String>,
    /// What of a possible repetition was heard so far.
    held: Vec<String>,
    repeated: usize,
}

impl Fold {
    /// Takes a command and gives back what is to be told now.
    pub(crate) fn command(&mut self, line: &str) -> Vec<String> {
        let mut news = Vec::new();
        if self.is_repeated() {
            self.repeated += 1;
        } else {
            news.extend(self.let_go());
        }
        self.held.clear();
        if self.told.first().is_some_and(|told| told == line) {
            self.held.push(line.to_owned());
        } else {
            news.extend(self.count());
            self.told = vec![line.to_owned()];
            news.push(line.to_owned());
        }
        news
    }

    /// Takes a line of the modem and gives back what is to be told now.
    pub(crate) fn answer(&mut self, line: &str) -> Vec<String> {
        if self.held.is_empty() {
            self.told.push(line.to_owned());
            return vec![line.to_owned()];
        }
        if self.told.get(self.held.len()).is_some_and(|told| told == line) {
            self.held.push(line.to_owned());
            return Vec::new();
        }
        if self.is_repeated() {
            // The repetition was complete: this line belongs to nothing.
            self.repeated += 1;
            self.held.clear();
        }
        let mut news = self.let_go();
        self.told.push(line.to_owned());
        news.push(line.to_owned());
        news
    }

    /// Gives back what was not told yet, when nothing more is heard for a while.
    pub(crate) fn pause(&mut self) -> Vec<String> {
        if self.is_repeated() {
            self.repeated += 1;
            self.held.clear();
        }
        self.let_go()
    }

    fn is_repeated(&self) -> bool {
        !self.held.is_empty() && self.held == self.told
    }

    /// What was held back is no repetition: it is told, and is the exchange to compare with from now on.
    fn let_go(&mut self) -> Vec<String> {
        let mut news: Vec<String> = self.count().into_iter().collect();
        if !self.held.is_empty() {
            self.told = std::mem::take(&mut self.held);
            news.extend(self.told.iter().cloned());
        }
        news
    }

    fn count(&mut self) -> Option<String> {
        let repeated = std::mem::take(&mut self.repeated);
        let command = self.told.first()?;
        (repeated > 0).then(|| format!("{command} … {repeated} more with the same answer"))
    }
}

#[cfg(test)]
mod tests {
    use super::Fold;

    /// Feeds a dialogue, in which `<` marks what the modem says, and compares what is told.
    fn check(dialogue: &[&str], told: &[&str]) {
        let mut fold = Fold::default();
        let mut news: Vec<String> = dialogue
            .iter()
            .flat_map(|line| match line.strip_prefix("< ") {
                Some(answer) => fold.answer(answer),
                None => fold.command(line),
            })
            .collect();
        news.extend(fold.pause());
        assert_eq!(news, told);
    }

    #[test]
    fn polls_with_the_same_answer_are_counted() {
        let poll = ["AT+CLCC", "< +CLCC: 1,1,0", "< OK"];
        let mut dialogue = vec!["ATA", "< OK"];
        for _ in 0..4 {
            dialogue.extend(poll);
        }
        dialogue.extend(["AT+CHUP", "< OK"]);
        check(
            &dialogue,
            &[
                "ATA",
                "OK",
                "AT+CLCC",
                "+CLCC: 1,1,0",
                "OK",
                "AT+CLCC … 3 more with the same answer",
                "AT+CHUP",
                "OK",
            ],
        );
    }

    #[test]
    fn another_answer_is_told_whole_and_in_its_order() {
        check(
            &[
                "AT+CLCC",
                "< +CLCC: 1,1,4",
                "< OK",
                "AT+CLCC",
                "< +CLCC: 1,1,4",
                "< +CLCC: 2,1,5",
                "< OK",
            ],
            &[
                "AT+CLCC",
                "+CLCC: 1,1,4",
                "OK",
                "AT+CLCC",
                "+CLCC: 1,1,4",
                "+CLCC: 2,1,5",
                "OK",
            ],
        );
        check(
            &[
                "AT+CLCC",
                "< +CLCC: 1,1,4",
                "< OK",
                "AT+CLCC",
                "< OK",
                "AT+CLCC",
                "< OK",
            ],
            &[
                "AT+CLCC",
                "+CLCC: 1,1,4",
                "OK",
                "AT+CLCC",
                "OK",
                "AT+CLCC … 1 more with the same answer",
            ],
        );
    }

    #[test]
    fn what_the_modem_says_on_its_own_is_never_held_back() {
        check(
            &["AT", "< OK", "AT", "< OK", "< RING", "< RING"],
            &["AT", "OK", "AT … 1 more with the same answer", "RING", "RING"],
        );
    }
}
