// What go-tuf makes of repositories: of folders of cases, or of one that is served.
//
//	go-tuf cases FOLDER         each FOLDER/<case>/root.json with the folders 0, 1, ... of files: one update for each
//	go-tuf one ROOT URL PATH    one update from a server
//
// It prints a line for each update: "named SHA256", "unnamed" or "refused REASON".
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// folder brings the files of a folder, by the last part of their address.
type folder string

func (from folder) DownloadFile(url string, most int64, _ time.Duration) ([]byte, error) {
	bytes, err := os.ReadFile(filepath.Join(string(from), url[strings.LastIndex(url, "/")+1:]))
	if err != nil {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: http.StatusNotFound, URL: url}
	}
	if int64(len(bytes)) > most {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: "longer than " + strconv.FormatInt(most, 10)}
	}
	return bytes, nil
}

// server brings files without credentials.
type server struct{}

func (server) DownloadFile(url string, most int64, wait time.Duration) ([]byte, error) {
	client := http.Client{Timeout: 30 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: answer.StatusCode, URL: url}
	}
	return io.ReadAll(io.LimitReader(answer.Body, most))
}

type fetcher interface {
	DownloadFile(url string, most int64, wait time.Duration) ([]byte, error)
}

func update(root []byte, url, memory, path string, from fetcher) (said string) {
	// It panics at some broken files, which its caller would have to catch as well.
	defer func() {
		if why := recover(); why != nil {
			said = fmt.Sprintf("refused by a panic: %v", why)
		}
	}()
	refused := func(err error) string { return "refused " + strings.Join(strings.Fields(err.Error()), " ") }
	settings, err := config.New(url, root)
	if err != nil {
		return refused(err)
	}
	settings.LocalMetadataDir, settings.LocalTargetsDir, settings.Fetcher = memory, memory, from
	client, err := updater.New(settings)
	if err != nil {
		return refused(err)
	}
	if err := client.Refresh(); err != nil {
		return refused(err)
	}
	found, err := client.GetTargetInfo(path)
	if err != nil {
		if strings.Contains(err.Error(), "not found") {
			return "unnamed"
		}
		return refused(err)
	}
	return "named " + found.Hashes["sha256"].String()
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	if os.Args[1] == "one" {
		memory := must(os.MkdirTemp("", "go-tuf"))
		defer os.RemoveAll(memory)
		fmt.Println(update(must(os.ReadFile(os.Args[2])), os.Args[3], memory, os.Args[4], server{}))
		return
	}
	cases := must(os.ReadDir(os.Args[2]))
	sort.Slice(cases, func(one, other int) bool {
		return must(strconv.Atoi(cases[one].Name())) < must(strconv.Atoi(cases[other].Name()))
	})
	for _, name := range cases {
		home := filepath.Join(os.Args[2], name.Name())
		root, path := must(os.ReadFile(filepath.Join(home, "root.json"))), string(must(os.ReadFile(filepath.Join(home, "path"))))
		memory := must(os.MkdirTemp("", "go-tuf"))
		for _, step := range must(os.ReadDir(home)) {
			if step.IsDir() {
				files := folder(filepath.Join(home, step.Name()))
				fmt.Println(name.Name(), step.Name(), update(root, "http://cases.invalid/", memory, path, files))
			}
		}
		os.RemoveAll(memory)
	}
}
