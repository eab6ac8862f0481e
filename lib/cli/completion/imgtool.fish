# fish completion of imgtool. It knows no command: it asks the program at each tab.
function __imgtool_complete
    set -l before (commandline -opc)
    set -l word (commandline -ct)
    set -l program imgtool
    if string match -q '*/*' -- $before[1]
        set program (string replace -r '^~/' "$HOME/" -- $before[1])
    end
    set -l answer ($program __complete $before[2..-1] "$word" 2>/dev/null)
    set -l prefix (string match -r -- '^--[^=]*=' "$word")
    test -n "$prefix"; or set prefix ''
    set -l value (string replace -- "$prefix" '' "$word")
    switch "$answer[1]"
        case files
            for line in (__fish_complete_path "$value")
                echo $prefix$line
            end
        case directories
            for line in (__fish_complete_directories "$value" '')
                echo $prefix$line
            end
    end
    for line in $answer[2..-1]
        echo $line
    end
end
complete -c imgtool -f -a '(__imgtool_complete)'
