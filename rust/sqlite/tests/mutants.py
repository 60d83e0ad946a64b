"""Break the store in ways that its tests must notice: `python3 rust/sqlite/tests/mutants.py [name …]`.

Works on the checkout that it is called in, and puts every file back. Prints who survived.
"""

import pathlib
import sys

RUST = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(RUST))
import mutating  # noqa: E402 - it lies beside the crates

MUTANTS = {
    "skip the sync": (
        "journal/group_commit.rs",
        "let synced = file.map_or(Ok(()), |file| file.sync());",
        "drop(file); let synced: std::io::Result<()> = Ok(());",
    ),
    "acknowledge before the sync": (
        "journal/group_commit.rs",
        "Durability::Commit => std::mem::take(&mut state.syncer_sleeps),",
        "Durability::Commit => { state.settled = number; std::mem::take(&mut state.syncer_sleeps) }",
    ),
    "go on after a failed sync": (
        "journal/group_commit.rs",
        "Err(error) => self.poison(&mut state, &Error::Io(error.to_string())),",
        "Err(_) => self.settle(&mut state, upto),",
    ),
    "drop the baton": ("journal/group_commit.rs", "passes |= state.waiters.leave();", "state.waiters.leave();"),
    "sync and wake nobody": ("journal/group_commit.rs", "                passes = true;\n", ""),
    "call two to sync": ("journal/waiters.rs", "if syncing || self.called.is_some() {", "if syncing {"),
    "wake who has given up": (
        "journal/waiters.rs",
        "listed.map(|at| self.asleep.remove(at)).is_none()",
        "listed.is_none()",
    ),
    "let SQLite not sync": ("database/schema.rs", "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"),
    "forget the journal before the tables have it": (
        "database/writer.rs",
        "        match self.write(&asked) {",
        "        { let mut state = self.log.lock(); let pending = std::mem::take(&mut state.journal.pending); "
        "let _ = state.lap(); state.journal.pending = pending; }\n        match self.write(&asked) {",
    ),
    "begin a lap over what is pending": (
        "database/writer.rs",
        "        if state.journal.pending.is_empty()\n            && self.batch.is_empty()\n            && let",
        "        if self.batch.is_empty()\n            && let",
    ),
    "let the journal grow": (
        "database/writer.rs",
        "&& state.journal.length() > self",
        "&& false && state.journal.length() > self",
    ),
    "force a lap and skip the tables": ("database/writer.rs", "if self.write(&[]).is_ok() {", "{"),
    "take an earlier life's records": (
        "journal/file.rs",
        "Hasher::new_with_initial(salt)",
        "Hasher::new_with_initial(salt & 0)",
    ),
    "read on over a gap": (
        "journal/file.rs",
        "Some(last) if number != last + 1 => break,",
        "Some(last) if number < last => break,",
    ),
    "take damage for a torn end": ("journal/file.rs", "(later && record(", "(false && later && record("),
    "replay what is applied": ("journal/file.rs", "if number == applied + 1 {", "if number == applied.max(1) {"),
    "skip a record at replay": ("journal/file.rs", "if number == applied + 1 {", "if number == applied + 2 {"),
    "accept a missing journal": ("ownership/identity.rs", "matches!(self.head, None | Some(Head::Blank))", "false"),
    "accept a missing log": ("ownership/identity.rs", "life.open && self.found == Log::Missing", "false"),
    "accept a journal of another life": (
        "ownership/identity.rs",
        "if salt == life.salt => Ok(()),",
        "if salt > 0 || life.open => Ok(()),",
    ),
    "accept a journal that was used": ("ownership/identity.rs", "used: false,", "used: _,"),
    "accept any log": ("ownership/identity.rs", "if new || life.log.goes_on_in(found) {", "if true {"),
    "accept the log of another database": ("ownership/life.rs", "found.id == self.id && later <= 1", "later <= 1"),
    "accept a log of another generation": (
        "ownership/life.rs",
        "found.id == self.id && later <= 1",
        "found.id == self.id",
    ),
    "begin a journal ahead of the database": ("opening.rs", "|| identity.lags(life) {", "{"),
    "call before the database says so": (
        "database/recovery.rs",
        "life::confirm(connection, place, &mut life)?;\n        schema::checkpoint(connection)?;",
        "",
    ),
    "note no generation": ("database/writer.rs", "            self.checkpoints.note(connection)?;\n", ""),
    "make a database for what is left of one": ("ownership/identity.rs", "if beside.is_empty() {", "if true {"),
    "leave the salt in a copy": ("database/backup.rs", "salt: salt()?,", "salt: 0,"),
    "lose the note of a start": ("database/apply.rs", "self.begun.insert(seq, at);", "let _ = at;"),
    "keep the note of an end": ("database/apply.rs", "        self.begun.remove(&seq);\n", ""),
    "one death too many": ("database/interruptions.rs", "interruptions + 1 < ?3", "interruptions + 1 <= ?3"),
    "start a marked job again": ("database/interruptions.rs", "AND once = 0 AND", "AND"),
    "forget the run": (
        "database/interruptions.rs",
        "SET run = min(run + 1, 4294967295), interruptions",
        "SET interruptions",
    ),
    "count an ordered end": ("database/interruptions.rs", '"left")? == 0', '"left")? <= 1'),
    "forget an ordered end": ("database/apply.rs", "Op::Leave => self.leaves = true,", "Op::Leave => {}"),
    "stop at what cannot be applied": (
        "database/apply.rs",
        "Err(why) if why.is_of_one() => {",
        "Err(why) if false => {",
    ),
    "let one question fail all": (
        "database/savepoint.rs",
        "Err(error) if error.is_of_one() &&",
        "Err(error) if false &&",
    ),
    "keep what a question began": ("database/savepoint.rs", 'run("ROLLBACK TO step")?;', ""),
    "page from the last place on": ("database/queries.rs", "due = ?1 AND seq > ?2", "due = ?1 AND seq >= ?2"),
    "page the bound, too": ("database/queries.rs", "due > ?1 AND due < ?2", "due > ?1 AND due <= ?2"),
    "forget the highest sequence": (
        "database/apply.rs",
        "self.known.seq = self.known.seq.max(to.seq);\n                if let Some(job) = self.rename(seq, to.seq) {\n                    job.place = to;\n                    job.clock = clock;\n                    job.progress",
        "if let Some(job) = self.rename(seq, to.seq) {\n                    job.place = to;\n                    job.clock = clock;\n                    job.progress",
    ),
    "do not look for the id": (
        "database/queries.rs",
        "if !ids.insert(&job.id) || rows::find(self.connection, &job.id)?.is_some() {",
        "if !ids.insert(&job.id) {",
    ),
    "cancel what runs": (
        "database/queries.rs",
        "Some(seq) if !rows::is_started(self.connection, seq)? =>",
        "Some(seq) =>",
    ),
    "forget that an occurrence is spent": ("database/interruptions.rs", "standing::spend(bytes);", "let _ = bytes;"),
    "end a repeat with a death": (
        "database/apply.rs",
        "Some(next) => self.follow(seq, &next)?,",
        "Some(_) => self.delete(seq)?,",
    ),
    "forget how far a repeat has come": (
        "database/rows.rs",
        "interruptions = 0, first_start = NULL, standing = ?7 WHERE",
        "interruptions = 0, first_start = NULL, standing = iif(?7 = 0, ?7, standing) WHERE",
    ),
    "page what comes again": ("database/schema.rs", '" AND repeat IS NULL"', '" AND 1"'),
    "migrate beside a journal": (
        "opening.rs",
        "                    self.disk.remove(&[(&journal, &*file)])?;\n",
        "                    drop(file);\n",
    ),
    "bind a payload to nothing": ("../../store/src/keyring.rs", "    bound.extend_from_slice(id.as_bytes());\n", ""),
    "give out what is sealed": ("../../store/src/sealing.rs", "if keys.has_sealed(id, target, data) =>", "if false =>"),
    "check no key": ("../../store/src/keyring.rs", "Some(bytes) if bytes == PROOF => Ok(()),", "_ if true => Ok(()),"),
    "rotate half": ("database/rotation.rs", "self.table += 1;", "self.table += 2;"),
    "call a full disk a success": (
        "journal/group_commit.rs",
        "Err(Error::Full) => return Err(Error::Full),",
        "Err(Error::Full) => state.journal.number,",
    ),
    "keep a refused batch": ("journal/file.rs", "            self.pending.truncate(from);\n", ""),
}

COMMAND = ["cargo", "test", "--quiet", "--package", "duewheel-sqlite"]

if __name__ == "__main__":
    mutating.main(RUST / "sqlite" / "src", MUTANTS, lambda _: COMMAND)
