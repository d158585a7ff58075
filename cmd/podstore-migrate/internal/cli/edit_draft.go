package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// draft is a file that an operator edits, in a directory of its own. The Pod's name is not
// part of the file's name, so that no editor or shell can act on it.
type draft struct {
	dir, path string
}

// newDraft writes a text to a file that only this user may read.
func newDraft(text []byte) (*draft, error) {
	dir, err := os.MkdirTemp("", "podstore-edit-")
	if err != nil {
		return nil, fmt.Errorf("the text to edit cannot be kept in the directory for temporary files, which TMPDIR names: %w", err)
	}
	d := &draft{dir, filepath.Join(dir, "metadata.json")}
	err = os.Chmod(dir, 0o700) // whatever the umask
	if err == nil {
		err = d.write(d.path, text)
	}
	if err != nil {
		d.remove()
		return nil, err
	}
	return d, nil
}

func (d *draft) write(path string, text []byte) error {
	return errors.Join(os.WriteFile(path, text, 0o600), os.Chmod(path, 0o600))
}

// keepBeside writes what the store has now beside the operator's text.
func (d *draft) keepBeside(text []byte) (path string, err error) {
	path = filepath.Join(d.dir, "stored.json")
	return path, d.write(path, text)
}

func (d *draft) remove() { _ = os.RemoveAll(d.dir) }

// edit runs the operator's editor on the file and returns its new content.
func (d *draft) edit(c *console) ([]byte, error) {
	editor := cmp.Or(os.Getenv("VISUAL"), os.Getenv("EDITOR"))
	if editor == "" && !c.asks() {
		return nil, errors.New("there is no terminal for an editor; use --set or --from, or set EDITOR")
	}
	editor = cmp.Or(editor, "vi")
	// The variable may have arguments. The file's name is passed as an argument of its
	// own, so the shell does not parse it.
	cmd := exec.Command("sh", "-c", editor+` "$@"`, editor, d.path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.stdin, os.Stdout, os.Stderr
	if c.json {
		cmd.Stdout = os.Stderr // standard output has only JSON
	}
	if err := c.queue.wait(c.ctx); err != nil {
		return nil, err
	}
	err := cmd.Run()
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 127 { // the shell's code for an unknown command
		return nil, fmt.Errorf("there is no program %s; set EDITOR to an editor, or use --set or --from", shellWord(editor))
	}
	if err != nil {
		return nil, fmt.Errorf("the editor %s, of VISUAL or EDITOR: %w; nothing was changed", shellWord(editor), err)
	}
	return os.ReadFile(d.path)
}
