# Completion of `git khlone` and `git-khlone`. It belongs in conf.d: fish's own completion of git does not look
# for a file of ours before it knows the command.
# Install: git khlone completions fish --install

function __fish_git_khlone
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l typed (commandline --current-token --cut-at-cursor)
    if string match -qr '(^|/)git$' -- $words[1]
        set -l at (contains -i -- khlone $words); or return
        $words[1..$at] __complete -- $words[(math $at + 1)..] $typed 2>/dev/null
    else
        $words[1] __complete -- $words[2..] $typed 2>/dev/null
    end
end

complete -c git -n '__fish_git_using_command khlone' --no-files --keep-order -a '(__fish_git_khlone)'
complete -c git-khlone --no-files --keep-order -a '(__fish_git_khlone)'
